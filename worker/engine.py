"""The stage that owns the model: batches in, outcomes out. Knows no Kafka and no database."""

import math
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

import structlog

from ..errors import DragomanError
from ..failpoints import reached
from ..model.decoding import SearchOptions
from ..model.translator import Translation
from ..schemas.reasons import Reason
from ..schemas.results import ResultStatus
from ..schemas.texts import character_fault
from ..storage.records import BatchRow
from .admission import expiry
from .batcher import Batch, PoolKey
from .outcomes import Pass, Refusal, refused, translated
from .pipeline import Pipeline
from .stage import Stage
from .translating import SegmentTranslator
from .work import Outcome, Segment

log = structlog.get_logger(__name__)


# What every model can translate.
PROBE = "a"


class ModelBrokenError(DragomanError):
    """The model or its device fails whatever the text."""


@dataclass(frozen=True, slots=True)
class _Timing:
    started_at: datetime
    seconds: float


class Engine(Stage):
    """Translates the batches of the waiting room, one after the other."""

    def __init__(self, pipeline: Pipeline, translator: SegmentTranslator, device: str) -> None:
        super().__init__("engine", pipeline.stopping)
        self._pipeline = pipeline
        self._translator = translator
        self._device = device

    def work(self) -> None:
        """Translate one batch."""
        batch = self._pipeline.waiting_room.take(timeout_seconds=0.5)
        if batch is None:
            return
        outcomes: list[Outcome] = []
        in_time: list[Segment] = []
        for segment in self._still_ours(batch.segments):
            refusal = expiry(segment.job)
            if refusal is None:
                in_time.append(segment)
            else:
                outcomes.append(refused(self._pipeline.identity, segment.delivery, segment.job, refusal))
        reached("before-translate")
        outcomes += self._translate(batch.key, tuple(in_time), attempt=1)
        reached("after-translate")
        if outcomes:
            self._pipeline.finished.put(outcomes)

    def _still_ours(self, segments: tuple[Segment, ...]) -> list[Segment]:
        """What left us while it waited is not worth a pass."""
        assignments = self._pipeline.assignments
        checked = [(segment, assignments.admits(segment.delivery)) for segment in segments]
        assignments.give_back([segment.delivery for segment, ours in checked if not ours])
        return [segment for segment, ours in checked if ours]

    def _translate(self, key: PoolKey, segments: tuple[Segment, ...], attempt: int) -> list[Outcome]:
        """Outcomes of all segments; where a pass fails, its halves are tried, so that a poison fails alone."""
        if not segments:
            return []
        started_at, start = datetime.now(UTC), time.perf_counter()
        try:
            translations = self._translator.translate_pieces(
                [segment.pieces for segment in segments], SearchOptions(key[2], key[3])
            )
            _require_sound(translations, len(segments))
        except Exception as error:  # noqa: BLE001 - a poison may raise anything; here it is pinned to one segment
            self._pipeline.metrics.translate_failures.inc()
            log.warning("batch_failed", rows=len(segments), attempt=attempt, error=type(error).__name__)
            return self._after_failure(key, segments, attempt, error)
        timing = _Timing(started_at, time.perf_counter() - start)
        return self._outcomes(Batch(key, segments), translations, timing, attempt)

    def _after_failure(
        self, key: PoolKey, segments: tuple[Segment, ...], attempt: int, error: Exception
    ) -> list[Outcome]:
        if len(segments) > 1:
            middle = len(segments) // 2
            return self._translate(key, segments[:middle], attempt + 1) + self._translate(
                key, segments[middle:], attempt + 1
            )
        self._require_working_model(key)
        detail = f"the model failed on this text, alone in its batch ({type(error).__name__})"
        refusal = Refusal(Reason.TRANSLATION_FAILED, detail, ResultStatus.FAILED, attempt, self._translator.version)
        return [refused(self._pipeline.identity, segments[0].delivery, segments[0].job, refusal)]

    def _require_working_model(self, key: PoolKey) -> None:
        """A model that fails on everything is broken: nothing must be given up for that."""
        try:
            self._translator.translate_pieces(self._translator.encode([PROBE], key[1]), SearchOptions(key[2], key[3]))
        except Exception as error:
            raise ModelBrokenError(
                f"the model fails on every text ({type(error).__name__} on a plain word): nothing was given up for "
                "it. Look at the device and its memory, then start the worker again"
            ) from error

    def _outcomes(self, batch: Batch, translations: list[Translation], timing: _Timing, attempt: int) -> list[Outcome]:
        row = BatchRow(
            id=uuid4(),
            model_version_id=self._translator.version,
            rows=len(batch.segments),
            source_pieces=batch.source_pieces,
            padded_pieces=batch.padded_pieces,
            target_pieces=sum(translation.target_pieces for translation in translations),
            decode_seconds=timing.seconds,
            device=self._device,
            worker_id=self._pipeline.identity.worker_id,
        )
        self._count(row)
        made_by = Pass(row, timing.started_at, attempt)
        return [
            translated(self._pipeline.identity, segment, translation, made_by)
            for segment, translation in zip(batch.segments, translations, strict=True)
        ]

    def _count(self, row: BatchRow) -> None:
        metrics = self._pipeline.metrics
        metrics.batch_rows.observe(row.rows)
        metrics.batch_pieces.labels("real").inc(row.source_pieces)
        metrics.batch_pieces.labels("padding").inc(row.padded_pieces - row.source_pieces)
        metrics.translate_seconds.observe(row.decode_seconds)
        log.info(
            "batch_translated",
            rows=row.rows,
            source_pieces=row.source_pieces,
            padded_pieces=row.padded_pieces,
            target_pieces=row.target_pieces,
            seconds=round(row.decode_seconds, 4),
        )


def _require_sound(translations: list[Translation], rows: int) -> None:
    """Raise for translations that neither history nor result can hold: then their batch counts as failed."""
    if len(translations) != rows:
        raise ValueError(f"the model gave {len(translations)} translations for {rows} segments")
    for translation in translations:
        if not math.isfinite(translation.score) or character_fault("the translation", translation.text):
            raise ValueError("the model gave a score that is no number, or a text that is not Unicode")
