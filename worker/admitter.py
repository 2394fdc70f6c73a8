"""The stage between polling and batching: decodes, asks the history, tokenises. May wait for the database."""

import time
from collections.abc import Callable, Collection
from typing import TypeVar
from uuid import UUID

import structlog
from sqlalchemy import Engine

from ..errors import DragomanError, TransientError
from ..schemas.jobs import Lane, TranslationJob
from ..schemas.reasons import Reason
from ..storage.known_jobs import KnownJobs, known_jobs
from .admission import Admission, too_late
from .assignments import Delivery
from .gathering import Portion
from .outcomes import refused
from .pipeline import Pipeline
from .recall import Jobs, Recall
from .stage import Stage
from .translation_memory import EmptyMemory, TranslationMemory
from .work import Outcome, Segment

log = structlog.get_logger(__name__)

# Seconds before the history is asked again after the database was away.
RETRY_SECONDS = 0.5
# Jobs admitted together, about: the history is asked for them in one round trip.
ADMITTED_JOBS = 1_000

_EMPTY = EmptyMemory()
Answer = TypeVar("Answer")


class DeadLetterFuseError(DragomanError):
    """So many messages in a row were rejected that the fault is hardly in the messages."""


class Admitter(Stage):
    """Turns deliveries of a lane into waiting segments and into outcomes."""

    def __init__(
        self,
        pipeline: Pipeline,
        admission: Admission,
        engine: Engine,
        fuse: int,
        *,
        lane: Lane = "bulk",
        memory: TranslationMemory = _EMPTY,
    ) -> None:
        super().__init__(f"{lane} admitter", pipeline.stopping)
        self._pipeline = pipeline
        self._inbox = pipeline.inbox.of(lane)
        self._admission = admission
        self._recall = Recall(pipeline, memory)
        self._engine = engine
        self._fuse = fuse
        self._rejected_in_a_row = 0
        self._portion = Portion(ADMITTED_JOBS)
        self.database_answers = True

    def work(self) -> None:
        """Admit what was polled; answer what expired while it waited."""
        self._refuse_expired()
        # What was polled by now, so that a distant database is asked once for much.
        deliveries = self._still_ours(self._inbox.gather(self._portion.size, 0.5))
        if not deliveries:
            return
        start = time.perf_counter()
        self._admit(deliveries)
        self._portion.took(len(deliveries), time.perf_counter() - start)

    def _admit(self, deliveries: list[Delivery]) -> None:
        refusals: list[Outcome] = []
        jobs: Jobs = []
        for delivery in deliveries:
            decoded = self._admission.decode(delivery)
            self._count_rejections(decoded)
            if isinstance(decoded, Outcome):
                refusals.append(decoded)
            else:
                jobs.append((delivery, decoded))
        asked = [job.job_id for _, job in jobs] + _published_first(refusals)
        known = self._until_answered(lambda: known_jobs(self._engine, asked) if asked else KnownJobs())
        recalled = None if known is None else self._without_model(jobs, known)
        if known is None or recalled is None:
            self._pipeline.assignments.give_back(deliveries)
            return
        rest, answered = recalled
        # What is recorded has its answer: a refusal, of a deadline that has passed since perhaps, must not follow it.
        final = [Outcome(one.delivery) if one.row and one.row.job_id in known.recorded else one for one in refusals]
        self._pass_on(rest, final + answered, known)

    def _without_model(self, jobs: Jobs, known: KnownJobs) -> tuple[Jobs, list[Outcome]] | None:
        """Jobs to translate, and outcomes of those that need no model; None when we are stopped before we know."""
        self._pipeline.metrics.redelivered.inc(len(known.recorded))
        outcomes: list[Outcome] = []
        new = jobs
        if known.recorded:
            outcomes = [Outcome(delivery) for delivery, job in jobs if job.job_id in known.recorded]
            new = [(delivery, job) for delivery, job in jobs if job.job_id not in known.recorded]
        answered = self._until_answered(lambda: self._recall.from_memory(new, known.newest_correction))
        return None if answered is None else (answered[0], outcomes + answered[1])

    def _pass_on(self, jobs: Jobs, outcomes: list[Outcome], known: KnownJobs) -> None:
        """Tokenised jobs to the waiting room, everything else to the settler."""
        segments = []
        for item in self._admission.tokenise(jobs, time.monotonic()):
            if isinstance(item, Segment):
                attempts = known.attempts_of(item.job.job_id) if known.attempts else None
                segment = item if attempts is None else item._replace(attempts=attempts)
                segments.append((self._admission.pool(item), segment))
            else:
                outcomes.append(item)
        unknown, recalled = self._recall.from_cache(segments)
        if outcomes or recalled:
            self._pipeline.finished.put(outcomes + recalled)
        self._pipeline.waiting_room.add(unknown)
        self._withdraw_revoked([segment for _, segment in unknown])

    def _refuse_expired(self) -> None:
        expired = self._pipeline.waiting_room.expired()
        late = [(segment, segment.job.deadline) for segment in expired]
        if late:
            identity = self._pipeline.identity
            self._pipeline.finished.put(
                [refused(identity, s.delivery, s.job, too_late(deadline)) for s, deadline in late if deadline]
            )

    def _withdraw_revoked(self, segments: Collection[Segment]) -> None:
        """A revocation empties the waiting room; one that came while we admitted left these behind."""
        assignments = self._pipeline.assignments
        admitted = assignments.admitted(segment.delivery for segment in segments)
        revoked = {s.delivery.message.partition for s, ours in zip(segments, admitted, strict=True) if not ours}
        if revoked:
            assignments.give_back([s.delivery for s in self._pipeline.waiting_room.remove(revoked)])

    def _still_ours(self, deliveries: list[Delivery]) -> list[Delivery]:
        assignments = self._pipeline.assignments
        admitted = assignments.admitted(deliveries)
        if all(admitted):
            return deliveries
        assignments.give_back([delivery for delivery, ours in zip(deliveries, admitted, strict=True) if not ours])
        return [delivery for delivery, ours in zip(deliveries, admitted, strict=True) if ours]

    def _until_answered(self, ask: Callable[[], Answer]) -> Answer | None:
        """What the database answers; None when we are stopped before it does."""
        while True:
            try:
                answer = ask()
                self.database_answers = True
                return answer
            except TransientError as error:
                self.database_answers = False
                log.warning("history_not_reachable", error=str(error))
                self.last_beat_seconds = time.monotonic()
                self.pause(RETRY_SECONDS)
                if self.stopping:
                    return None

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


def _published_first(refusals: list[Outcome]) -> list[UUID]:
    """Jobs whose events leave before their row is written: of the others, a second answer is dropped with its row."""
    return [one.row.job_id for one in refusals if one.row and one.is_untraced]
