"""The stage between polling and batching: decodes, asks the history, tokenises. May wait for the database."""

import queue
import time
from collections.abc import Collection
from dataclasses import replace
from uuid import UUID

import structlog
from sqlalchemy import Engine

from ..errors import DragomanError, TransientError
from ..schemas.jobs import TranslationJob
from ..schemas.reasons import Reason
from ..storage.attempts import KnownJobs, known_jobs
from .admission import Admission
from .assignments import Delivery
from .pipeline import Pipeline
from .stage import Stage
from .work import Outcome, Segment

log = structlog.get_logger(__name__)

# Seconds before the history is asked again after the database was away.
RETRY_SECONDS = 0.5


class DeadLetterFuseError(DragomanError):
    """So many messages in a row were rejected that the fault is hardly in the messages."""


class Admitter(Stage):
    """Turns deliveries into waiting segments and into outcomes."""

    def __init__(self, pipeline: Pipeline, admission: Admission, engine: Engine, fuse: int) -> None:
        super().__init__("admitter", pipeline.stopping)
        self._pipeline = pipeline
        self._admission = admission
        self._engine = engine
        self._fuse = fuse
        self._rejected_in_a_row = 0
        self.database_answers = True

    def work(self) -> None:
        """Admit one list of deliveries."""
        try:
            deliveries = self._still_ours(self._pipeline.inbox.get(timeout=0.5))
        except queue.Empty:
            return
        outcomes: list[Outcome] = []
        jobs: list[tuple[Delivery, TranslationJob]] = []
        for delivery in deliveries:
            decoded = self._admission.decode(delivery)
            self._count_rejections(decoded)
            if isinstance(decoded, Outcome):
                outcomes.append(decoded)
            else:
                jobs.append((delivery, decoded))
        known = self._known([job.job_id for _, job in jobs])
        if known is None:
            self._pipeline.assignments.give_back(deliveries)
            return
        recorded = known.recorded
        outcomes += [Outcome(delivery) for delivery, job in jobs if job.job_id in recorded]
        self._pipeline.metrics.redelivered.inc(len(recorded))
        self._pass_on([(delivery, job) for delivery, job in jobs if job.job_id not in recorded], outcomes, known)

    def _pass_on(self, jobs: list[tuple[Delivery, TranslationJob]], outcomes: list[Outcome], known: KnownJobs) -> None:
        """Tokenised jobs to the waiting room, everything else to the settler."""
        segments = []
        for item in self._admission.tokenise(jobs, time.monotonic()):
            if isinstance(item, Segment):
                attempts = known.attempts_of(item.job.job_id)
                segments.append(item if attempts is None else replace(item, attempts=attempts))
            else:
                outcomes.append(item)
        if outcomes:
            self._pipeline.finished.put(outcomes)
        self._pipeline.waiting_room.add((self._admission.pool_of(segment.job), segment) for segment in segments)
        self._withdraw_revoked(segments)

    def _withdraw_revoked(self, segments: Collection[Segment]) -> None:
        """A revocation empties the waiting room; one that came while we admitted left these behind."""
        assignments = self._pipeline.assignments
        revoked = {s.delivery.message.partition for s in segments if not assignments.admits(s.delivery)}
        if revoked:
            assignments.give_back([s.delivery for s in self._pipeline.waiting_room.remove(revoked)])

    def _still_ours(self, deliveries: list[Delivery]) -> list[Delivery]:
        assignments = self._pipeline.assignments
        checked = [(delivery, assignments.admits(delivery)) for delivery in deliveries]
        assignments.give_back([delivery for delivery, ours in checked if not ours])
        return [delivery for delivery, ours in checked if ours]

    def _known(self, job_ids: list[UUID]) -> KnownJobs | None:
        """Which jobs the history has, and which are suspects; None when we are stopped before the database answers."""
        while job_ids:
            try:
                known = known_jobs(self._engine, job_ids)
                self.database_answers = True
                return known
            except TransientError as error:
                self.database_answers = False
                log.warning("history_not_reachable", error=str(error))
                self.pause(RETRY_SECONDS)
                if self.stopping:
                    return None
        return KnownJobs()

    def _count_rejections(self, decoded: TranslationJob | Outcome) -> None:
        if not isinstance(decoded, Outcome):
            self._rejected_in_a_row = 0
        elif decoded.row and decoded.row.reason != Reason.DEADLINE_PASSED:  # a backlog may be late as a whole
            self._rejected_in_a_row += 1
        if self._rejected_in_a_row >= self._fuse:
            raise DeadLetterFuseError(
                f"{self._rejected_in_a_row} messages in a row were rejected: look at the dead letters. Does a "
                "producer send another format, or has this worker the wrong model? DRAGOMAN_DEAD_LETTER_FUSE "
                "sets the limit"
            )
