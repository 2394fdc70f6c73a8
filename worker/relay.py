"""The stage that owes Kafka nothing: publishes the outbox, deletes what was acknowledged. At least once."""

import contextlib
import threading
import time
from collections.abc import Sequence

import structlog
from sqlalchemy import Connection, Engine

from ..errors import TransientError
from ..failpoints import reached
from ..producer.publisher import DeliveryReport
from ..storage.engine import transaction
from ..storage.outbox import ClaimedEvent, claim_events, delete_events, outbox_state
from ..storage.text_cipher import TextCipher
from .outgoing import EventPublisher, Report, outgoing
from .pipeline import Pipeline
from .stage import Stage

log = structlog.get_logger(__name__)

# Events in one round: their rows stay locked until Kafka has acknowledged them all.
ROUND_EVENTS = 1_000
# A sweep finds what a relay left behind that died after its worker's transaction.
SWEEP_SECONDS = 1.0
# How long a round waits for acknowledgements before it lets the rest go to the next round.
ACKNOWLEDGE_SECONDS = 15.0
RETRY_SECONDS = 0.5
# The transaction is idle while Kafka acknowledges, whatever the server's own limit; a frozen relay lets go of its rows.
LIMITS = (
    "SET LOCAL lock_timeout = '2s'; SET LOCAL statement_timeout = '10s'; "
    "SET LOCAL idle_in_transaction_session_timeout = '30s'"
)


class Relay(Stage):
    """Publishes what the settler has just written at once, and sweeps the rest."""

    def __init__(
        self, pipeline: Pipeline, engine: Engine, publisher: EventPublisher, cipher: TextCipher | None = None
    ) -> None:
        super().__init__("relay", pipeline.stopping)
        self._pipeline = pipeline
        self._engine = engine
        self._publisher = publisher
        self._cipher = cipher

    def work(self) -> None:
        """Publish until the outbox is empty, then wait for more."""
        self._pipeline.outbox_filled.wait(SWEEP_SECONDS)
        self._pipeline.outbox_filled.clear()
        self._publisher.poll(0)
        try:
            while self.publish_round() == ROUND_EVENTS and not self.stopping:
                self.last_beat_seconds = time.monotonic()
        except TransientError as error:
            self._pipeline.metrics.publish_failures.inc()
            log.warning("relay_to_be_repeated", error=str(error))
            self.pause(RETRY_SECONDS)

    def wind_up(self) -> None:
        """Publish what the settler wrote last; without Kafka or the database it stays for another worker."""
        with contextlib.suppress(TransientError):
            self.publish_round()

    def publish_round(self) -> int:
        """Publish up to `ROUND_EVENTS` events in one transaction; returns how many Kafka acknowledged."""
        with transaction(self._engine) as connection:
            connection.exec_driver_sql(LIMITS)
            claimed = claim_events(connection, ROUND_EVENTS, self._cipher)
            if not claimed:
                self._measure(connection)
                return 0
            tally = self._publish(claimed)
            acknowledged = tally.acknowledged()
            reached("before-outbox-delete")
            delete_events(connection, acknowledged)
            self._measure(connection)
        if len(acknowledged) < len(claimed):
            self._pipeline.metrics.publish_failures.inc()
            log.warning("events_not_acknowledged", events=len(claimed) - len(acknowledged), error=tally.error)
        self._pipeline.metrics.published.inc(len(acknowledged))
        return len(acknowledged)

    def _publish(self, claimed: Sequence[ClaimedEvent]) -> "_Tally":
        """Publish events and wait for their reports."""
        tally = _Tally(len(claimed))
        deadline = time.monotonic() + ACKNOWLEDGE_SECONDS
        for entry in claimed:
            self._hand_over(entry, tally.listener(entry.id), deadline)
        while not tally.complete and time.monotonic() < deadline:
            self._publisher.poll(0.1)
        return tally

    def _hand_over(self, entry: ClaimedEvent, on_report: Report, deadline: float) -> None:
        """Give an event to the client, unless it has no room until the deadline. One that it refuses stops no other."""
        try:
            while not self._publisher.publish(outgoing(entry.event), on_report) and time.monotonic() < deadline:
                self._publisher.poll(0.1)
        except TransientError as error:
            on_report(DeliveryReport(str(error)))

    def _measure(self, connection: Connection) -> None:
        waiting = outbox_state(connection)
        self._pipeline.metrics.outbox_depth.set(waiting.events)
        self._pipeline.metrics.outbox_oldest.set(waiting.oldest_seconds)


class _Tally:
    """Counts delivery reports, which may come from another thread, and late."""

    def __init__(self, expected: int) -> None:
        self._lock = threading.Lock()
        self._expected = expected
        self._reports = 0
        self._acknowledged: list[int] = []
        self.error: str | None = None

    def listener(self, event_id: int) -> Report:
        def on_report(report: DeliveryReport) -> None:
            with self._lock:
                self._reports += 1
                if report.error is None:
                    self._acknowledged.append(event_id)
                else:
                    self.error = report.error

        return on_report

    @property
    def complete(self) -> bool:
        with self._lock:
            return self._reports == self._expected

    def acknowledged(self) -> list[int]:
        with self._lock:
            return list(self._acknowledged)
