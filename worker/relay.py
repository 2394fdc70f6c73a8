"""The stage that owes Kafka nothing: publishes the outbox, deletes what was acknowledged. At least once."""

import contextlib
import time
from collections.abc import Sequence

import structlog
from sqlalchemy import Connection, Engine

from ..errors import TransientError
from ..failpoints import reached
from ..storage.engine import transaction
from ..storage.outbox import claim_events, delete_events, outbox_state, take_events
from ..storage.records import OutboxEvent
from ..storage.text_cipher import TextCipher
from .gathering import gathered
from .outgoing import ACKNOWLEDGE_SECONDS, EventPublisher, Tally, publish_all
from .pipeline import Pipeline
from .stage import Stage

log = structlog.get_logger(__name__)

# Events in one round: their rows stay locked until Kafka has acknowledged them all.
ROUND_EVENTS = 1_000
# A sweep finds what was left behind: by a relay that died, or that Kafka did not answer. What is younger is on its way.
SWEEP_SECONDS, SWEEP_AGE_SECONDS = 1.0, 2.0
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
        self._swept_at_seconds = 0.0
        self._cipher = cipher

    def work(self) -> None:
        """Publish what the settler hands over, and sweep the outbox now and then."""
        fresh = gathered(self._pipeline.owed, ROUND_EVENTS, SWEEP_SECONDS)
        self._publisher.poll(0)
        try:
            if fresh:
                self.publish_fresh(fresh)
            if time.monotonic() - self._swept_at_seconds >= SWEEP_SECONDS:
                self._sweep()
        except TransientError as error:
            self._pipeline.metrics.publish_failures.inc()
            log.warning("relay_to_be_repeated", error=str(error))
            self.pause(RETRY_SECONDS)

    def wind_up(self) -> None:
        """Publish what the settler wrote last; without Kafka or the database it stays for another worker."""
        with contextlib.suppress(TransientError):
            self.publish_round()

    def publish_fresh(self, events: Sequence[OutboxEvent]) -> int:
        """Publish events that were just written, without reading them back; returns how many Kafka acknowledged."""
        tally = Tally()
        with contextlib.suppress(_UnacknowledgedError), transaction(self._engine) as connection:
            connection.exec_driver_sql(LIMITS)
            # The delete comes first, because it is the lock; it counts when all of them have been acknowledged.
            ours = take_events(connection, events)
            self._publish(ours, tally)
            reached("before-outbox-delete")
            if tally.missing:
                raise _UnacknowledgedError
        acknowledged = tally.acknowledged()
        if tally.missing and acknowledged:
            with transaction(self._engine) as connection:
                connection.exec_driver_sql(LIMITS)
                delete_events(connection, acknowledged)
        self._count(tally)
        return len(acknowledged)

    def publish_round(self, older_than_seconds: float = 0.0) -> int:
        """Publish up to `ROUND_EVENTS` events of the outbox in one transaction; returns how many Kafka acknowledged."""
        tally = Tally()
        with transaction(self._engine) as connection:
            connection.exec_driver_sql(LIMITS)
            claimed = claim_events(connection, ROUND_EVENTS, older_than_seconds, self._cipher)
            if claimed:
                self._publish(claimed, tally)
                reached("before-outbox-delete")
                delete_events(connection, tally.acknowledged())
            self._measure(connection)
        self._count(tally)
        return len(tally.acknowledged())

    def _sweep(self) -> None:
        """Until the old events are gone, or new ones wait."""
        while self.publish_round(SWEEP_AGE_SECONDS) == ROUND_EVENTS and not self.stopping:
            self.last_beat_seconds = time.monotonic()
            if not self._pipeline.owed.empty():
                return  # the next sweep comes at once
        self._swept_at_seconds = time.monotonic()

    def _count(self, tally: Tally) -> None:
        self._pipeline.metrics.published.inc(len(tally.acknowledged()))
        if tally.missing:
            self._pipeline.metrics.publish_failures.inc()
            log.warning("events_not_acknowledged", events=tally.missing, error=tally.error)

    def _publish(self, events: Sequence[OutboxEvent], tally: Tally) -> None:
        publish_all(self._publisher, events, tally, ACKNOWLEDGE_SECONDS)

    def _measure(self, connection: Connection) -> None:
        waiting = outbox_state(connection)
        self._pipeline.metrics.outbox_depth.set(waiting.events)
        self._pipeline.metrics.outbox_oldest.set(waiting.oldest_seconds)


class _UnacknowledgedError(Exception):
    """Kafka has not acknowledged everything: the transaction is rolled back."""
