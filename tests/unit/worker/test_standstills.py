"""Which partitions stand still: those with messages of which nothing was recorded for two minutes."""

import pytest
from dragoman.worker.message import Partition
from dragoman.worker.standstill_watch import STANDING_SECONDS, Progress, Standstills

ZERO: Partition = ("jobs.bulk", 0)
ONE: Partition = ("jobs.bulk", 1)


class Clock:
    now_seconds = 100.0

    def __call__(self) -> float:
        return self.now_seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def seen(clock: Clock, *looks: tuple[float, dict[Partition, Progress]]) -> list[frozenset[Partition]]:
    standstills = Standstills(clock)
    found = []
    for at, partitions in looks:
        clock.now_seconds = at
        found.append(standstills.see(partitions))
    return found


def test_a_partition_with_messages_stands_after_two_minutes_and_its_neighbour_that_moves_does_not(clock: Clock) -> None:
    first = {ZERO: Progress(5, 90), ONE: Progress(5, 90)}
    then = {ZERO: Progress(5, 90), ONE: Progress(6, 90)}
    looks = (0.0, first), (STANDING_SECONDS - 1, then), (STANDING_SECONDS, then)
    assert seen(clock, *looks) == [frozenset(), frozenset(), {ZERO}]


def test_one_that_moves_again_has_two_more_minutes(clock: Clock) -> None:
    stood, moved = {ZERO: Progress(5, 90)}, {ZERO: Progress(6, 90)}
    looks = (0.0, stood), (200.0, stood), (300.0, moved), (400.0, moved), (420.0, moved)
    assert seen(clock, *looks) == [frozenset(), {ZERO}, frozenset(), frozenset(), {ZERO}]


def test_one_with_nothing_to_read_stands_never(clock: Clock) -> None:
    assert seen(clock, (0.0, {ZERO: Progress(5, 5)}), (900.0, {ZERO: Progress(5, 5)})) == [frozenset()] * 2


def test_what_comes_to_a_partition_that_was_idle_has_two_minutes_too(clock: Clock) -> None:
    idle, busy = {ZERO: Progress(5, 5)}, {ZERO: Progress(5, 9)}
    looks = (0.0, idle), (900.0, idle), (915.0, busy), (1_019.0, busy), (1_020.0, busy)
    assert seen(clock, *looks) == [frozenset()] * 4 + [{ZERO}]


def test_the_mark_of_a_transaction_is_no_message(clock: Clock) -> None:
    before, after = {ZERO: Progress(5, 5)}, {ZERO: Progress(6, 7)}
    assert seen(clock, (0.0, before), (10.0, after), (900.0, after)) == [frozenset()] * 3


def test_a_single_message_that_came_since_is_one(clock: Clock) -> None:
    before, after = {ZERO: Progress(5, 5)}, {ZERO: Progress(5, 6)}
    assert seen(clock, (0.0, before), (10.0, after), (900.0, after)) == [frozenset(), frozenset(), {ZERO}]


def test_a_partition_that_is_gone_is_forgotten(clock: Clock) -> None:
    there: dict[Partition, Progress] = {ZERO: Progress(5, 90)}
    assert seen(clock, (0.0, there), (100.0, {}), (200.0, there)) == [frozenset()] * 3


def test_a_lease_that_was_set_back_has_moved(clock: Clock) -> None:
    stood, back = {ZERO: Progress(5, 90)}, {ZERO: Progress(0, 90)}
    assert seen(clock, (0.0, stood), (130.0, back), (131.0, back)) == [frozenset()] * 3
