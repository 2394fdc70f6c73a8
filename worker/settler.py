"""The stage that records outcomes: one transaction for history, outbox and progress, repeated until it is certain."""

import contextlib
import queue
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

import structlog
from sqlalchemy import Engine

from ..errors import TransientError
from ..failpoints import reached
from ..schemas.jobs import Lane
from ..storage.quarantine import QuarantinedRange
from ..storage.records import PartitionProgress
from ..storage.settlement import CommitUnknownError, Receipt, Settlement, settle
from ..storage.text_cipher import TextCipher
from .gathering import Portion
from .outgoing import EventPublisher
from .pipeline import Pipeline
from .stage import Stage
from .untraced import publish_now
from .work import Outcome

log = structlog.get_logger(__name__)

# Outcomes wait so long for others to share a transaction: each costs a flush to disk, whatever it holds.
LINGER_SECONDS: Mapping[Lane, float] = {"interactive": 0.0, "bulk": 0.2}
# One transaction records at most about so many outcomes: enough to share its fixed cost, soon visible.
SETTLEMENT_ROWS = 1_000
FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS = 0.1, 5.0


class Settler(Stage):
    """Writes what is finished of a lane, in the order in which it finished."""

    def __init__(
        self,
        pipeline: Pipeline,
        engine: Engine,
        publisher: EventPublisher,
        cipher: TextCipher | None = None,
        *,
        lane: Lane = "bulk",
        linger_seconds: float = 0.0,
    ) -> None:
        super().__init__(f"{lane} settler", pipeline.stopping)
        self._pipeline = pipeline
        self._finished = pipeline.finished.of(lane)
        self._engine = engine
        self._publisher = publisher
        self._cipher = cipher
        self._linger_seconds = linger_seconds
        self._portion = Portion(SETTLEMENT_ROWS)
        self.database_answers = True

    def work(self) -> None:
        """Settle everything that is finished by now."""
        outcomes = self._finished.gather(self._portion.size, 0.5, self._linger_seconds)
        assignments = self._pipeline.assignments
        counted = assignments.counted(outcome.delivery for outcome in outcomes)
        self._drop([outcome for outcome, counts in zip(outcomes, counted, strict=True) if not counts])
        current = [outcome for outcome, counts in zip(outcomes, counted, strict=True) if counts]
        if current and self._answer_untraced(current):
            self._settle(current)

    def _answer_untraced(self, outcomes: list[Outcome]) -> bool:
        """Publish what must not lie in the outbox; False when we are stopped before Kafka has it."""
        events = [event for outcome in outcomes if outcome.is_untraced for event in outcome.events]
        published = len(events)
        while events:
            events = publish_now(self._publisher, events)
            if events:
                self._pipeline.metrics.publish_failures.inc()
                log.warning("events_not_acknowledged", events=len(events))
                self.last_beat_seconds = time.monotonic()
                self.pause(FIRST_RETRY_SECONDS)
                if self.stopping:
                    return False
        if published:
            reached("after-untraced-publish")
        self._pipeline.metrics.published.inc(published)
        return True

    def _settle(self, outcomes: list[Outcome]) -> None:
        deliveries = [outcome.delivery for outcome in outcomes]
        settlement = self._settlement(outcomes)
        start = time.perf_counter()
        receipt = self._write(self._cipher.seal(settlement) if self._cipher else settlement)
        if receipt is None:
            return
        took_seconds = time.perf_counter() - start
        self._portion.took(len(outcomes), took_seconds)
        self._pipeline.metrics.settle_seconds.observe(took_seconds)
        fenced = [entry for entry in settlement.progress if (entry.topic, entry.partition) in receipt.fenced]
        self._lose(fenced)
        moved = [entry for entry in settlement.progress if entry not in fenced]
        self._pipeline.assignments.settled(deliveries, moved, receipt.recorded_at)
        self._hand_over(receipt)
        self._count(outcomes, receipt)

    def _hand_over(self, receipt: Receipt) -> None:
        """Let the relay publish at once; what it has no room for lies in the outbox, as all of it does."""
        if receipt.events:
            opened = self._cipher.open_event if self._cipher else None
            with contextlib.suppress(queue.Full):
                self._pipeline.owed.put_nowait([opened(event) if opened else event for event in receipt.events])

    def _settlement(self, outcomes: list[Outcome]) -> Settlement:
        batches = {outcome.batch.id: outcome.batch for outcome in outcomes if outcome.batch}
        return Settlement(
            group_id=self._pipeline.identity.group_id,
            rows=tuple(outcome.row for outcome in outcomes if outcome.row),
            events=tuple(() if outcome.is_untraced else outcome.events for outcome in outcomes if outcome.row),
            progress=self._pipeline.assignments.finish([outcome.delivery for outcome in outcomes]),
            batches=tuple(batches.values()),
            quarantined=tuple(outcome.quarantined for outcome in outcomes if outcome.quarantined),
        )

    def _write(self, settlement: Settlement) -> Receipt | None:
        """Repeat the transaction until its outcome is known; None when we are stopped before."""
        wait_seconds = FIRST_RETRY_SECONDS
        was_unknown = False
        while True:
            try:
                receipt = settle(self._engine, settlement)
                self.database_answers = True
                return _written_twice(receipt) if was_unknown else receipt
            except TransientError as error:
                self.database_answers = False
                is_unknown = isinstance(error, CommitUnknownError)
                was_unknown = was_unknown or is_unknown
                outcome = "unknown" if is_unknown else "rolled_back"
                self._pipeline.metrics.settle_failures.labels(outcome).inc()
                log.warning("settlement_to_be_repeated", outcome=outcome, error=str(error))
            self.pause(wait_seconds)
            if self.stopping:
                return None
            self.last_beat_seconds = time.monotonic()
            wait_seconds = min(2 * wait_seconds, LONGEST_RETRY_SECONDS)

    def _lose(self, fenced: list[PartitionProgress]) -> None:
        """Another worker has raised the epoch of these partitions.

        That is news, and the group must be joined anew, only for those that we still thought ours: a partition that
        was revoked before its last work was recorded is expected to be fenced.
        """
        if fenced:
            unexpected = self._pipeline.assignments.fence(fenced)
            log.warning("partitions_fenced", partitions=len(fenced), unexpected=unexpected)
            if unexpected:
                self._pipeline.fenced.set()

    def _drop(self, outcomes: list[Outcome]) -> None:
        """Outcomes of partitions that left us: whoever has them now makes them again."""
        if outcomes:
            self._pipeline.metrics.fenced.inc(len(outcomes))
            self._pipeline.metrics.rework.inc(sum(o.row.source_pieces or 0 for o in outcomes if o.row))
            self._pipeline.assignments.give_back([outcome.delivery for outcome in outcomes])

    def _count(self, outcomes: list[Outcome], receipt: Receipt) -> None:
        metrics, now = self._pipeline.metrics, datetime.now(UTC)
        self._count_quarantined([outcome.quarantined for outcome in outcomes if outcome.quarantined], receipt)
        rows = [outcome.row for outcome in outcomes if outcome.row]
        all_new = len(receipt.recorded) == len(rows)
        recorded = rows if all_new else [row for row in rows if row.job_id in receipt.recorded]
        for (status, reason), jobs in Counter((row.status, row.reason or "") for row in recorded).items():
            metrics.jobs.labels(status, reason).inc(jobs)
        metrics.job_seconds.observe_all([max(0.0, (now - row.submitted_at).total_seconds()) for row in recorded])
        if not all_new:
            others = [row for row in rows if row.job_id not in receipt.recorded]
            metrics.rework.inc(sum(row.source_pieces or 0 for row in others))
            metrics.fenced.inc(sum(row.job_id not in receipt.duplicates for row in others))
        log.debug("outcomes_recorded", rows=len(receipt.recorded), duplicates=len(receipt.duplicates))

    def _count_quarantined(self, ranges: list[QuarantinedRange], receipt: Receipt) -> None:
        for skipped in ranges:
            if (skipped.topic, skipped.partition) not in receipt.fenced:
                count = skipped.last_offset - skipped.first_offset + 1
                self._pipeline.metrics.quarantined.labels(skipped.reason).inc(count)


def _written_twice(receipt: Receipt) -> Receipt:
    """The receipt of a settlement that was perhaps committed before: what was there already is counted as its own.

    Nearly all of it is: jobs that others had recorded were left out when they were admitted.
    """
    return replace(receipt, recorded=receipt.recorded | receipt.duplicates)
