"""The scheduler between two threads."""

import threading

from dragoman.model.batching import BatchLimits
from dragoman.model.translator import Translation
from dragoman.tests.unit.worker.scheduling.simulation import AT_ONCE, FRENCH, Arrival, segment
from dragoman.worker.metrics import Metrics
from dragoman.worker.scheduling.policy import Policy
from dragoman.worker.scheduling.room import Room
from dragoman.worker.scheduling.scheduler import Scheduler
from dragoman.worker.scheduling.translation_cache import TranslationCache
from dragoman.worker.scheduling.waiting_room import WaitingRoom
from dragoman.worker.work import Segment

LIMITS = BatchLimits(100, 10)


def room(wait_seconds: float, metrics: Metrics | None = None) -> WaitingRoom:
    scheduler = Scheduler(Policy(LIMITS, {"interactive": wait_seconds, "bulk": wait_seconds}))
    return WaitingRoom(scheduler, TranslationCache(10_000), metrics, clock=lambda: 0.0)


def one(number: int = 0) -> Segment:
    return segment(number, Arrival(0.0, "a", 5))


def test_nothing_is_taken_when_nothing_is_due() -> None:
    waiting = room(5.0)
    waiting.add([(FRENCH, one())])
    assert waiting.take(timeout_seconds=0.0) is None
    assert len(waiting) == 1


def test_a_batch_is_taken_when_it_is_due() -> None:
    waiting = room(0.0)
    waiting.add((FRENCH, one(number)) for number in range(3))
    batch = waiting.take(timeout_seconds=0.0)
    assert batch is not None
    assert len(batch.segments) == 3


def test_a_waiting_engine_wakes_up_when_segments_come() -> None:
    waiting, taken = room(0.0), []
    engine = threading.Thread(target=lambda: taken.append(waiting.take(timeout_seconds=60.0)))
    engine.start()
    waiting.add([(FRENCH, one())])
    engine.join(30.0)
    assert len(taken) == 1
    assert taken[0] is not None


def test_an_engine_without_room_waits_no_longer_than_it_said() -> None:
    waiting = WaitingRoom(Scheduler(Policy(LIMITS, AT_ONCE)))
    waiting.add([(FRENCH, one())])
    assert waiting.take(timeout_seconds=0.01, room=Room(0, 100)) is None


def test_a_translation_is_recalled_when_it_was_remembered() -> None:
    waiting, translation = room(0.0), Translation("oui", -0.5, 4, 2)
    waiting.answered(FRENCH, [(one(1), translation)])
    assert waiting.recall([(FRENCH, one(1).pieces), (FRENCH, one(2).pieces)]) == [translation, None]


def test_waiting_and_coalesced_segments_are_counted() -> None:
    metrics = Metrics()
    waiting = room(0.0, metrics)
    waiting.add([(FRENCH, one(1)), (FRENCH, one(1)), (FRENCH, one(2))])
    value = metrics.registry.get_sample_value
    assert value("dragoman_waiting_in_lane", {"lane": "bulk"}) == 2
    assert value("dragoman_coalesced_total") == 1
    waiting.take(timeout_seconds=0.0)
    assert value("dragoman_waiting_in_lane", {"lane": "bulk"}) == 0
    assert value("dragoman_wait_seconds_count", {"lane": "bulk"}) == 2
