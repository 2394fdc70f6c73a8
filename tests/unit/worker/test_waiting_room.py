"""The batcher between two threads."""

import threading
from typing import Any

from dragoman.model.batching import BatchLimits
from dragoman.worker.batcher import Batcher
from dragoman.worker.scheduling.pool import Pool
from dragoman.worker.waiting_room import WaitingRoom

KEY = Pool("en", "fr", "echo@0", 4, 1.0)


def room(wait_seconds: float) -> WaitingRoom:
    return WaitingRoom(Batcher(BatchLimits(100, 10), wait_seconds), clock=lambda: 0.0)


def test_nothing_is_taken_when_nothing_is_due(build: Any) -> None:
    waiting = room(5.0)
    waiting.add([(KEY, build.segment())])
    assert waiting.take(timeout_seconds=0.0) is None
    assert len(waiting) == 1


def test_a_batch_is_taken_when_it_is_due(build: Any) -> None:
    waiting = room(0.0)
    waiting.add((KEY, build.segment()) for _ in range(3))
    batch = waiting.take(timeout_seconds=0.0)
    assert batch is not None
    assert len(batch.segments) == 3


def test_a_waiting_engine_wakes_up_when_segments_come(build: Any) -> None:
    waiting, taken = room(0.0), []
    engine = threading.Thread(target=lambda: taken.append(waiting.take(timeout_seconds=60.0)))
    engine.start()
    waiting.add([(KEY, build.segment())])
    engine.join(30.0)
    assert len(taken) == 1
    assert taken[0] is not None


def test_segments_of_a_partition_are_taken_out_when_it_leaves(build: Any) -> None:
    waiting = room(0.0)
    for number in (0, 1, 0):
        delivery = build.delivery(build.message(partition_number=number))
        waiting.add([(KEY, build.segment(delivery=delivery))])
    assert len(waiting.remove({("jobs.bulk", 0)})) == 2
    assert len(waiting) == 1
