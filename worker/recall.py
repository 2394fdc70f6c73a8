"""Answers jobs whose translation is known already: from the translation memory, then from the cache."""

from ..schemas.jobs import TranslationJob
from ..storage.correction_queries import Numbered
from .assignments import Delivery
from .outcomes import Known, recalled
from .pipeline import Pipeline
from .scheduling.pool import Pool
from .translation_memory import TranslationMemory
from .work import Outcome, Segment

Jobs = list[tuple[Delivery, TranslationJob]]
Segments = list[tuple[Pool, Segment]]


class Recall:
    """Divides what comes into outcomes and what is left to translate."""

    def __init__(self, pipeline: Pipeline, memory: TranslationMemory) -> None:
        self._pipeline = pipeline
        self._memory = memory

    def from_memory(self, jobs: Jobs, newest: Numbered | None) -> tuple[Jobs, list[Outcome]]:
        """Ask the translation memory; raises `TransientError` when it does not answer."""
        found = self._memory.find([job for _, job in jobs], newest) if jobs else []
        identity = self._pipeline.identity
        known = [
            recalled(identity, delivery, job, Known(answer.text, "memory", correction_id=answer.correction_id))
            for (delivery, job), answer in zip(jobs, found, strict=True)
            if answer
        ]
        self._pipeline.metrics.recalled.labels("memory").inc(len(known))
        return [item for item, answer in zip(jobs, found, strict=True) if answer is None], known

    def from_cache(self, segments: Segments) -> tuple[Segments, list[Outcome]]:
        """Ask the cache of this worker."""
        found = self._pipeline.waiting_room.recall([(pool, segment.pieces) for pool, segment in segments])
        identity = self._pipeline.identity
        known = [
            recalled(
                identity,
                segment.delivery,
                segment.job,
                Known(kept.text, "cache", pool.model_version, kept.score, kept.source_pieces, kept.target_pieces),
            )
            for (pool, segment), kept in zip(segments, found, strict=True)
            if kept
        ]
        self._pipeline.metrics.recalled.labels("cache").inc(len(known))
        return [item for item, kept in zip(segments, found, strict=True) if kept is None], known
