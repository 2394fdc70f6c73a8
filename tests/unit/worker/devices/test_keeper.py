"""What a keeper makes of a device's answers and deaths, one event after the other."""

from collections.abc import Callable
from typing import Any

import pytest
from dragoman.model.translation import Translation
from dragoman.worker.devices.attempt_book import MemoryAttemptBook
from dragoman.worker.devices.device import DeviceLostError
from dragoman.worker.devices.device_room import RoomPolicy
from dragoman.worker.devices.entry import Entry
from dragoman.worker.devices.events import (
    Answered,
    Died,
    Event,
    Fault,
    Group,
    ModelFacts,
    ModelLoaded,
    Ready,
    Unanswered,
)
from dragoman.worker.devices.keeper import MOST_DEADLY_TEXTS, DevicePolicy, Keeper
from dragoman.worker.devices.model_source import ModelSource
from dragoman.worker.pipeline import Pipeline
from dragoman.worker.scheduling.pool import Pool
from dragoman.worker.work import Outcome

POOL = Pool("en", "fr", "one@1", 1, 1.0)
POLICY = DevicePolicy(RoomPolicy(8, 4096, usual_beam=1), silent_seconds=60.0, attempts=2)


class ScriptedDevice:
    """Does what the test says."""

    name, answers_at_once = "scripted", False

    def __init__(self) -> None:
        self.groups: list[Group] = []
        self.events: list[Event] = []
        self.starts = 0
        self.asked: list[tuple[str, str]] = []

    def start(self) -> None:
        self.starts += 1
        self.events = [ModelLoaded(ModelFacts("one@1", "cpu scripted", 8, pads=True), 0.0), Ready()]

    def submit(self, group: Group) -> None:
        self.groups.append(group)

    def load(self, version: str, source: ModelSource) -> None:
        self.asked.append(("load", version))

    def unload(self, version: str) -> None:
        self.asked.append(("unload", version))

    def forget(self, version: str) -> None:
        self.asked.append(("forget", version))

    def receive(self, timeout_seconds: float) -> list[Event]:
        events, self.events = self.events, []
        return events

    def end(self, seconds: float) -> None: ...

    def answer(self, *places: int) -> None:
        """The latest group's translations at these places."""
        group = self.groups[-1]
        answers = tuple((place, Translation("target", -1.0, 3, 2)) for place in places or range(len(group.sources)))
        self.events.append(Answered(group.number, answers))


class Desk:
    """A keeper with its device, its book, and what became of the texts."""

    def __init__(self, build: Any) -> None:
        self.pipeline: Pipeline = build.pipeline()
        self.device, self.book = ScriptedDevice(), MemoryAttemptBook()
        self.keeper = Keeper(self.pipeline, self.device, POLICY, self.book)
        self.keeper.bring_up()
        self._build = build
        self._given = 0

    def entry(self, text: str, attempts: int | None = None) -> Entry:
        job = self._build.job(text)
        delivery = self._build.delivery(self._build.job_message(job, self._given), self.pipeline.assignments)
        self._given += 1
        return Entry(self._build.segment(4, delivery=delivery, job=job)._replace(attempts=attempts))

    def submit(self, *texts: str) -> list[Entry]:
        entries = [self.entry(text) for text in texts]
        self.keeper.submit(POOL, entries)
        return entries

    def die(self, fault: Fault = Fault.EXITED) -> None:
        self.device.events.append(Died(fault, "signal 9"))
        self.keeper.turn(0.0)

    def outcomes(self) -> list[Outcome]:
        return self.pipeline.finished.bulk.gather(1_000, 0.0)

    def ended(self) -> dict[str | None, str]:
        return {outcome.row.source_text: outcome.row.status for outcome in self.outcomes() if outcome.row}


@pytest.fixture
def desk(build: Any) -> Desk:
    return Desk(build)


@pytest.fixture
def texts_of(desk: Desk) -> Callable[[], list[int]]:
    """How many segments each group that was handed over had."""
    return lambda: [len(group.sources) for group in desk.device.groups]


def test_outcomes_come_one_by_one_and_the_last_brings_the_batch(desk: Desk) -> None:
    desk.submit("a", "b", "c")
    desk.device.answer(1)
    desk.keeper.turn(0.0)
    (first,) = desk.outcomes()
    desk.device.answer(0, 2)
    desk.keeper.turn(0.0)
    rest = desk.outcomes()

    assert first.batch is None
    assert first.row is not None
    batches = {outcome.batch for outcome in rest}
    assert {batch.id for batch in batches if batch} == {first.row.batch_id}
    assert [(batch.rows, batch.target_pieces) for batch in batches if batch] == [(3, 6)]


def test_followers_get_the_translation_of_the_one_they_wait_for(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    follower = desk.entry("b").segment
    monkeypatch.setattr(desk.pipeline.waiting_room, "answered", lambda *_: [(follower,)])
    desk.submit("a")
    desk.device.answer()
    desk.keeper.turn(0.0)

    assert desk.ended() == {"a": "translated", "b": "translated"}


def test_there_is_no_room_while_suspects_are_tried(desk: Desk) -> None:
    desk.submit("a", "b", "c", "d", "e")
    desk.die()

    assert desk.keeper.room() is None
    for _ in range(4):
        desk.device.answer()
        desk.keeper.turn(0.0)
    assert desk.keeper.room() is not None
    assert set(desk.ended().values()) == {"translated"}


def test_suspects_are_tried_in_quarters_one_after_the_other(desk: Desk, texts_of: Callable[[], list[int]]) -> None:
    desk.submit(*"abcdefgh")
    desk.die()
    assert texts_of() == [8, 2]
    desk.device.answer()
    desk.keeper.turn(0.0)

    assert texts_of() == [8, 2, 2]


def test_only_what_has_no_answer_is_a_suspect(desk: Desk, texts_of: Callable[[], list[int]]) -> None:
    desk.submit("a", "b")
    desk.device.answer(0)
    desk.die()

    assert texts_of() == [2, 1]
    assert list(desk.ended()) == ["a"]


def test_suspects_are_written_down_before_they_run(desk: Desk) -> None:
    entries = desk.submit("a", "b")
    desk.die()

    assert desk.book.attempts == {entries[0].segment.job.job_id: 1, entries[1].segment.job.job_id: 0}


def test_a_text_is_failed_when_the_device_died_of_it_alone_often_enough(desk: Desk) -> None:
    desk.submit("poison")
    desk.die()
    desk.die()
    assert desk.ended() == {}
    desk.die()

    assert desk.ended() == {"poison": "failed"}
    assert desk.device.starts == 4


def test_a_suspect_waits_until_the_device_is_empty(desk: Desk, texts_of: Callable[[], list[int]]) -> None:
    desk.submit("a")
    desk.keeper.submit(POOL, [desk.entry("suspect", attempts=0)])
    desk.keeper.turn(0.0)
    assert texts_of() == [1]
    desk.device.answer()
    desk.keeper.turn(0.0)

    assert texts_of() == [1, 1]


def test_what_comes_while_a_suspect_runs_waits(desk: Desk, texts_of: Callable[[], list[int]]) -> None:
    desk.keeper.submit(POOL, [desk.entry("suspect", attempts=0)])
    desk.keeper.turn(0.0)
    desk.submit("a", "b")
    assert texts_of() == [1]
    desk.device.answer()
    desk.keeper.turn(0.0)

    assert texts_of() == [1, 2]


def test_nobody_is_suspected_when_memory_ran_out(desk: Desk, texts_of: Callable[[], list[int]]) -> None:
    desk.submit("a", "b", "c", "d")
    desk.die(Fault.MEMORY)

    assert texts_of() == [4, 2]
    assert desk.book.attempts == {}


def test_the_worker_stops_when_the_device_dies_of_every_text(desk: Desk) -> None:
    for number in range(MOST_DEADLY_TEXTS):
        desk.submit(f"text {number}")
        for _ in range(3):
            desk.die()
    assert set(desk.ended().values()) == {"failed"}
    desk.submit("one more")
    desk.die()
    desk.die()

    with pytest.raises(DeviceLostError, match="the fault is hardly in the texts"):
        desk.die()


def test_a_segment_that_can_never_fit_is_rejected_and_the_others_are_translated(desk: Desk) -> None:
    desk.submit("a", "large")
    desk.device.answer(0)
    desk.device.events.append(Unanswered(desk.device.groups[-1].number, (1,), Fault.REFUSED, "it needs 9 MiB"))
    desk.keeper.turn(0.0)
    outcomes = {outcome.row.source_text: outcome.row for outcome in desk.outcomes() if outcome.row}

    assert {text: row.status for text, row in outcomes.items()} == {"a": "translated", "large": "rejected"}
    assert outcomes["large"].detail == "it needs 9 MiB"


def test_the_waiting_suspects_of_a_partition_that_left_us_are_given_back(desk: Desk, build: Any) -> None:
    desk.submit("a", "b")
    desk.pipeline.assignments.revoke([build.partition()])
    desk.die()

    assert desk.pipeline.assignments.wait_idle([build.partition()], 0)
    assert len(desk.device.groups) == 1
