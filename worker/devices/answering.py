"""Makes outcomes of what a device answers, and counts it. Knows no device and no queue but the one of outcomes."""

import math
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache

import structlog

from ...model.translation import Translation
from ...schemas.reasons import Reason
from ...schemas.results import ResultStatus
from ...schemas.texts import character_fault
from ...storage.records import BatchRow
from ..outcomes import Pass, Refusal, refused, translated
from ..pipeline import Pipeline
from ..work import Outcome, Segment
from .entry import Entry
from .events import ModelFacts
from .open_groups import OpenGroup

log = structlog.get_logger(__name__)


class Answering:
    """Puts outcomes where the settler finds them."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        # When the device had last finished a group: passes do not overlap in the statistics.
        self._free_at_seconds = 0.0

    def translated(self, group: OpenGroup, answers: Sequence[tuple[Entry, Translation]], facts: ModelFacts) -> None:
        """Segments have their translations; the last of a group brings the batch's row along."""
        group.target_pieces += sum(translation.target_pieces for _, translation in answers)
        row, finished_at, is_complete = self._batch_row(group, facts), datetime.now(UTC), not group.entries

        @cache
        def made_by(attempt: int, cached: bool) -> Pass:
            return Pass(row, group.started_at, attempt, cached, finished_at, is_complete)

        identity = self._pipeline.identity
        outcomes: list[Outcome] = []
        answered = [(entry.segment, translation) for entry, translation in answers]
        followers = self._pipeline.waiting_room.answered(group.pool, answered)
        for (entry, translation), following in zip(answers, followers, strict=True):
            outcomes.append(translated(identity, entry.segment, translation, made_by(entry.attempt, False)))
            outcomes += [
                translated(identity, follower, translation, made_by(entry.attempt, True)) for follower in following
            ]
        if is_complete:
            self._count(row)
        self._pipeline.finished.put(outcomes)
        self._pipeline.shadows.offer(entry.segment for entry, _ in answers if not entry.segment.job.no_trace)

    def failed(self, entry: Entry, detail: str, model_version: str) -> None:
        """The model cannot translate this segment."""
        self._refuse(
            entry, Refusal(Reason.TRANSLATION_FAILED, detail, ResultStatus.FAILED, entry.attempt, model_version)
        )

    def rejected(self, entry: Entry, detail: str, model_version: str) -> None:
        """The engine can never take this segment."""
        refusal = Refusal(Reason.TOO_MANY_PIECES, detail, attempt=entry.attempt, model_version=model_version)
        self._refuse(entry, refusal)

    def _refuse(self, entry: Entry, refusal: Refusal) -> None:
        identity = self._pipeline.identity
        segments = self._answered_by(entry)
        self._pipeline.finished.put([refused(identity, one.delivery, one.job, refusal) for one in segments])

    def _answered_by(self, entry: Entry) -> tuple[Segment, ...]:
        """The segment, and those that wait for its outcome instead of their own."""
        return (entry.segment, *self._pipeline.waiting_room.followers(entry.segment))

    def _batch_row(self, group: OpenGroup, facts: ModelFacts) -> BatchRow:
        now_seconds = time.perf_counter()
        return BatchRow(
            id=group.batch_id,
            model_version_id=group.pool.model_version,
            rows=group.rows,
            source_pieces=group.source_pieces,
            padded_pieces=group.rows * group.longest if facts.pads else group.source_pieces,
            target_pieces=group.target_pieces,
            decode_seconds=now_seconds - max(group.start_seconds, self._free_at_seconds),
            device=facts.runs_on,
            worker_id=self._pipeline.identity.worker_id,
        )

    def _count(self, row: BatchRow) -> None:
        self._free_at_seconds = time.perf_counter()
        metrics = self._pipeline.metrics
        metrics.batch_rows.observe(row.rows)
        metrics.batch_pieces.labels("real").inc(row.source_pieces)
        metrics.batch_pieces.labels("padding").inc(row.padded_pieces - row.source_pieces)
        metrics.translate_seconds.observe(row.decode_seconds)
        log.debug(
            "batch_translated",
            rows=row.rows,
            source_pieces=row.source_pieces,
            padded_pieces=row.padded_pieces,
            target_pieces=row.target_pieces,
            seconds=round(row.decode_seconds, 4),
        )


def is_sound(translation: Translation) -> bool:
    """Whether history and result can hold it."""
    return math.isfinite(translation.score) and not character_fault("the translation", translation.text)
