"""Jobs that are answered without the model."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from dragoman.model.translator import Translation
from dragoman.schemas.codec import decode_result
from dragoman.schemas.jobs import TranslationJob
from dragoman.storage.correction_queries import Numbered
from dragoman.worker.pipeline import Pipeline
from dragoman.worker.recall import Recall
from dragoman.worker.scheduling.pool import Pool
from dragoman.worker.translation_memory import EmptyMemory, Found

CORRECTION = UUID(int=1)
FRENCH = Pool("en", "fr", "echo@0", 4, 1.0)


class Corrections:
    """A memory of one text."""

    def find(self, jobs: Sequence[TranslationJob], _: Numbered | None, /) -> Sequence[Found | None]:
        return [Found("Bonjour.", CORRECTION) if job.source_text == "Hello." else None for job in jobs]


def items(build: Any, pipeline: Pipeline, *texts: str) -> list[Any]:
    jobs = [build.job(text) for text in texts]
    messages = [build.job_message(job, offset) for offset, job in enumerate(jobs)]
    return [(build.delivery(message, pipeline.assignments), job) for message, job in zip(messages, jobs, strict=True)]


def test_jobs_that_the_memory_knows_are_answered_and_the_others_left(build: Any) -> None:
    pipeline: Pipeline = build.pipeline()
    jobs = items(build, pipeline, "Hello.", "Good night.")
    rest, (outcome,) = Recall(pipeline, Corrections()).from_memory(jobs, None)
    assert rest == jobs[1:]
    assert outcome.row is not None
    assert (outcome.row.target_text, outcome.row.model_version_id, outcome.row.batch_id) == ("Bonjour.", None, None)
    assert (outcome.row.answered_by, outcome.row.correction_id) == ("memory", CORRECTION)
    assert decode_result(outcome.events[0].payload).cached
    assert pipeline.metrics.registry.get_sample_value("dragoman_recalled_total", {"origin": "memory"}) == 1


def test_segments_that_the_cache_knows_are_answered_and_the_others_left(build: Any) -> None:
    pipeline: Pipeline = build.pipeline()
    segments = [
        (FRENCH, build.segment(delivery=delivery, job=job)._replace(pieces=(number,)))
        for number, (delivery, job) in enumerate(items(build, pipeline, "Hello.", "Good night."))
    ]
    pipeline.waiting_room.answered(FRENCH, [(segments[0][1], Translation("Salut.", -0.5, 1, 3))])
    rest, (outcome,) = Recall(pipeline, EmptyMemory()).from_cache(segments)
    assert rest == segments[1:]
    result = decode_result(outcome.events[0].payload)
    assert (result.translation, result.score, result.model_version, result.target_pieces) == (
        "Salut.",
        -0.5,
        "echo@0",
        3,
    )
    assert result.cached
    assert outcome.row is not None
    assert (outcome.row.model_version_id, outcome.row.batch_id, outcome.row.started_at) == ("echo@0", None, None)


def test_nothing_is_asked_of_an_empty_memory(build: Any) -> None:
    pipeline: Pipeline = build.pipeline()
    jobs = items(build, pipeline, "Hello.")
    recall = Recall(pipeline, EmptyMemory())
    assert recall.from_memory(jobs, None) == (jobs, [])
    assert recall.from_memory([], None) == ([], [])
