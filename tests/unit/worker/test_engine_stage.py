"""The stage that owns the model: batches in, outcomes out; a poison fails alone."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import ceil, log2, nan
from typing import Any

import pytest
from dragoman.model.decoding import SearchOptions
from dragoman.model.translation import Translation
from dragoman.schemas.codec import decode_result
from dragoman.worker.devices.device import ModelBrokenError
from dragoman.worker.devices.device_room import RoomPolicy
from dragoman.worker.devices.echo import EchoTranslator
from dragoman.worker.devices.engine_stage import EngineStage
from dragoman.worker.devices.keeper import DevicePolicy
from dragoman.worker.devices.local_device import LocalDevice
from dragoman.worker.pipeline import Pipeline
from dragoman.worker.scheduling.pool import Pool
from dragoman.worker.work import Outcome

MAGIC = ord("!")
POOL = Pool("en", "fr", "echo@0", 4, 1.0)
POLICY = DevicePolicy(RoomPolicy(256, 4096, usual_beam=4), silent_seconds=60.0, attempts=3)


@dataclass
class Poisoned(EchoTranslator):
    """Fails on a batch that holds the magic piece; counts its passes."""

    passes: list[int] = field(default_factory=list)
    broken: bool = False

    def translate_pieces(self, sources: Sequence[Sequence[int]], options: SearchOptions) -> list[Translation]:
        self.passes.append(len(sources))
        if self.broken or any(MAGIC in source for source in sources):
            raise RuntimeError("a device-side assertion")
        return super().translate_pieces(sources, options)


@dataclass
class Hungry(EchoTranslator):
    """Has no memory for a batch that holds the magic piece."""

    def translate_pieces(self, sources: Sequence[Sequence[int]], options: SearchOptions) -> list[Translation]:
        if any(MAGIC in source for source in sources):
            raise MemoryError
        return super().translate_pieces(sources, options)


@dataclass
class Unsound(EchoTranslator):
    """Answers the magic piece with what no history can hold."""

    answer: Translation = field(default_factory=lambda: Translation("", nan, 1, 1))

    def translate_pieces(self, sources: Sequence[Sequence[int]], options: SearchOptions) -> list[Translation]:
        plain = super().translate_pieces(sources, options)
        return [self.answer if MAGIC in source else given for source, given in zip(sources, plain, strict=True)]


def waiting(build: Any, *texts: str, suspect: str | None = None, **changes: Any) -> Pipeline:
    """A pipeline in whose waiting room jobs with these texts wait; a device has died with the suspect."""
    pipeline: Pipeline = build.pipeline()
    for offset, text in enumerate(texts):
        wait(build, pipeline, text, offset, attempts=0 if text == suspect else None, **changes)
    return pipeline


def wait(build: Any, pipeline: Pipeline, text: str, offset: int, attempts: int | None = None, **changes: Any) -> None:
    """Let a job with this text wait."""
    job = build.job(text, **changes)
    delivery = build.delivery(build.job_message(job, offset), pipeline.assignments)
    segment = build.segment(delivery=delivery, job=job)
    pipeline.waiting_room.add([(POOL, segment._replace(pieces=tuple(map(ord, text)), attempts=attempts))])


def one_round(pipeline: Pipeline, translator: EchoTranslator) -> list[Outcome]:
    EngineStage(pipeline, [LocalDevice(translator)], POLICY).work()
    return pipeline.finished.bulk.gather(1_000, 0.0)


def by_text(outcomes: list[Outcome]) -> dict[str | None, tuple[str, int]]:
    rows = [outcome.row for outcome in outcomes if outcome.row is not None]
    return {row.source_text: (row.status, row.attempt) for row in rows}


def test_a_suspect_runs_alone_and_its_neighbours_are_answered_in_the_same_round(build: Any) -> None:
    translator = Poisoned()
    outcomes = one_round(waiting(build, "one", "three", "seven", suspect="three"), translator)

    assert by_text(outcomes) == {"one": ("translated", 1), "three": ("translated", 2), "seven": ("translated", 1)}
    assert translator.passes == [1, 2]


def test_every_segment_of_a_batch_gets_its_translation(build: Any) -> None:
    outcomes = one_round(waiting(build, "one", "three", "two"), EchoTranslator())
    assert {outcome.row.source_text: outcome.row.target_text for outcome in outcomes if outcome.row} == {
        "one": "one",
        "two": "two",
        "three": "three",
    }


def test_the_batch_row_counts_real_and_padded_pieces(build: Any) -> None:
    (batch,) = {outcome.batch for outcome in one_round(waiting(build, "a", "bcd"), EchoTranslator())}
    assert batch is not None
    assert (batch.rows, batch.source_pieces, batch.padded_pieces, batch.target_pieces) == (2, 6, 8, 4)


@pytest.mark.parametrize("place", [0, 5, 15])
def test_only_the_poison_fails_when_a_batch_holds_one(build: Any, place: int) -> None:
    texts = [f"text {number:02}" for number in range(16)]
    texts[place] = "poison!"
    translator = Poisoned()
    ended = by_text(one_round(waiting(build, *texts), translator))
    assert ended.pop("poison!") == ("failed", 5)
    assert {status for status, _ in ended.values()} == {"translated"}
    assert len(ended) == 15
    # The first pass, two for each halving, and a plain word to see that the model itself is well.
    assert len(translator.passes) <= 2 * ceil(log2(16)) + 2


def test_attempts_count_the_passes_that_a_neighbour_went_through(build: Any) -> None:
    ended = by_text(one_round(waiting(build, "a", "b", "c", "d!"), Poisoned()))
    assert ended == {"a": ("translated", 2), "b": ("translated", 2), "c": ("translated", 3), "d!": ("failed", 3)}


def test_all_poisons_fail_and_all_others_are_translated_when_there_are_several(build: Any) -> None:
    texts = [f"{number}{'!' if number in (1, 2, 7) else '.'}" for number in range(8)]
    ended = by_text(one_round(waiting(build, *texts), Poisoned()))
    assert {text for text, (status, _) in ended.items() if status == "failed"} == {"1!", "2!", "7!"}
    assert len(ended) == 8


def test_nothing_is_given_up_when_the_model_fails_on_every_text(build: Any) -> None:
    pipeline = waiting(build, "a", "b")
    with pytest.raises(ModelBrokenError, match="RuntimeError on a plain word"):
        EngineStage(pipeline, [LocalDevice(Poisoned(broken=True))], POLICY).work()
    assert pipeline.finished.bulk.empty()


@pytest.mark.parametrize(
    "answer",
    [Translation("ok", nan, 1, 1), Translation("ok", -float("inf"), 1, 1), Translation("a\x00", -1.0, 1, 1)],
    ids=["not a number", "infinite", "NUL"],
)
def test_a_translation_that_cannot_be_recorded_fails_alone(build: Any, answer: Translation) -> None:
    ended = by_text(one_round(waiting(build, "good", "bad!"), Unsound(answer=answer)))
    assert ended == {"good": ("translated", 1), "bad!": ("failed", 2)}


def test_a_job_is_rejected_when_its_deadline_passed_while_it_waited(build: Any) -> None:
    late = datetime.now(UTC) - timedelta(seconds=1)
    translator = Poisoned()
    ended = by_text(one_round(waiting(build, "a", "b", deadline=late), translator))
    assert ended == {"a": ("rejected", 1), "b": ("rejected", 1)}
    assert translator.passes == []


def test_nothing_is_translated_for_a_partition_that_left_us(build: Any) -> None:
    pipeline, translator = waiting(build, "a", "b"), Poisoned()
    pipeline.assignments.remove([build.partition()])
    assert one_round(pipeline, translator) == []
    assert translator.passes == []
    assert pipeline.assignments.in_flight().jobs == 0


def test_equal_segments_are_translated_once_and_all_of_them_answered(build: Any) -> None:
    translator = Poisoned()
    outcomes = one_round(waiting(build, "same", "same", "other", "same"), translator)
    assert translator.passes == [2]
    assert [outcome.row.target_text for outcome in outcomes if outcome.row] == ["same", "same", "same", "other"]
    assert len({outcome.batch for outcome in outcomes}) == 1
    results = [decode_result(outcome.events[0].payload) for outcome in outcomes]
    assert [result.cached for result in results] == [False, True, True, False]


def test_equal_segments_fail_together_when_the_model_fails_on_their_text(build: Any) -> None:
    outcomes = one_round(waiting(build, "bad!", "bad!", "good"), Poisoned())
    assert sorted(outcome.row.status for outcome in outcomes if outcome.row) == ["failed", "failed", "translated"]


def test_an_equal_segment_is_translated_when_the_first_one_left_us(build: Any) -> None:
    pipeline: Pipeline = build.pipeline()
    pipeline.assignments.add(build.partition(1), 1, 0)
    for number in (0, 1):
        job = build.job("same")
        delivery = build.delivery(build.job_message(job, partition_number=number), pipeline.assignments)
        segment = build.segment(delivery=delivery, job=job)._replace(pieces=tuple(map(ord, "same")))
        pipeline.waiting_room.add([(POOL, segment)])
    pipeline.assignments.remove([build.partition(0)])
    assert one_round(pipeline, EchoTranslator()) == []
    (outcome,) = one_round(pipeline, EchoTranslator())
    assert outcome.delivery.message.partition == build.partition(1)


def test_a_translation_is_remembered_for_the_next_job_with_the_same_pieces(build: Any) -> None:
    pipeline = waiting(build, "again")
    one_round(pipeline, EchoTranslator())
    (kept,) = pipeline.waiting_room.recall([(POOL, tuple(map(ord, "again")))])
    assert kept is not None
    assert kept.text == "again"


@pytest.mark.parametrize(("lane", "wait"), [("bulk", 1), ("interactive", 0)])
def test_bulk_segments_wait_while_the_settler_has_enough(build: Any, lane: str, wait: int) -> None:
    pipeline = waiting(build, "text", lane=lane)
    pipeline.finished.bulk.gather(1, 0.0)
    pipeline.finished.put([Outcome(build.delivery(build.message(99), pipeline.assignments))])

    EngineStage(pipeline, [LocalDevice(EchoTranslator())], POLICY).work()

    assert len(pipeline.waiting_room) == wait


def test_a_long_text_is_translated_when_a_text_before_it_had_no_memory_even_alone(build: Any) -> None:
    pipeline = waiting(build, *(f"text {number:03}" for number in range(127)), "text!")
    stage = EngineStage(pipeline, [LocalDevice(Hungry())], POLICY)
    stage.work()
    ended = by_text(pipeline.finished.bulk.gather(1_000, 0.0))
    long = "a" * 1_000
    wait(build, pipeline, long, 128)
    stage.work()

    assert (len(ended), ended["text!"][0]) == (128, "failed")
    assert by_text(pipeline.finished.bulk.gather(1_000, 0.0)) == {long: ("translated", 1)}
