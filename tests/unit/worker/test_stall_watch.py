"""Partitions that stand still are named, those that move are not."""

from dragoman.worker.message import Partition
from dragoman.worker.stall_watch import StallWatch

ZERO: Partition = ("jobs.bulk", 0)
ONE: Partition = ("jobs.bulk", 1)


def test_a_partition_is_named_when_it_has_not_moved_for_long_and_its_neighbour_not() -> None:
    watch = StallWatch(10.0)
    assert watch.observe({ZERO: 5, ONE: 5}, 0.0) == []
    assert watch.observe({ZERO: 5, ONE: 6}, 9.9) == []
    assert watch.observe({ZERO: 5, ONE: 6}, 10.0) == [ZERO]


def test_a_partition_is_named_again_after_twice_the_time() -> None:
    watch = StallWatch(10.0)
    moments = [number / 2 for number in range(150)]
    assert [at for at in moments if watch.observe({ZERO: 5}, at)] == [10.0, 30.0, 70.0]


def test_patience_begins_anew_when_a_partition_has_moved() -> None:
    watch = StallWatch(10.0)
    watch.observe({ZERO: 5}, 0.0)
    watch.observe({ZERO: 5}, 10.0)
    watch.observe({ZERO: 6}, 11.0)
    assert watch.observe({ZERO: 6}, 20.9) == []
    assert watch.observe({ZERO: 6}, 21.0) == [ZERO]


def test_a_pause_counts_not_as_standing_still() -> None:
    watch = StallWatch(10.0)
    watch.observe({ZERO: 5}, 0.0)
    watch.observe({}, 5.0)
    assert watch.observe({ZERO: 5}, 15.0) == []
