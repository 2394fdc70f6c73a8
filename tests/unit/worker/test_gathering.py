"""Queues of lists: a lane does not wait for the other, and what is taken together is taken in order."""

import queue
import threading

import pytest
from dragoman.worker.gathering import LEAST_ITEMS, LONGEST_LIST, PORTION_SECONDS, ByLane, Lists, Portion, gathered
from hypothesis import given
from hypothesis import strategies as st

# Odd numbers are interactive.
LISTS = st.lists(st.lists(st.integers(0, 50), max_size=6), max_size=12)


@pytest.fixture
def lists() -> Lists[int]:
    return Lists()


def lanes() -> ByLane[int]:
    return ByLane(lambda number: number % 2 == 1)


def test_the_items_of_a_lane_are_not_behind_those_of_the_other() -> None:
    queues = lanes()
    queues.put([2, 4])
    queues.put([6, 1, 8, 3])
    assert queues.of("interactive").gather(10, 0.0) == [1, 3]
    assert queues.of("bulk").gather(10, 0.0) == [2, 4, 6, 8]


def test_whoever_waits_for_a_lane_is_not_woken_by_the_other() -> None:
    queues = lanes()
    threading.Timer(0.05, queues.put, ([2],)).start()
    assert queues.interactive.gather(1, 0.2) == []
    assert queues.bulk.gather(1, 30.0) == [2]


def test_no_more_lists_are_taken_when_there_is_enough(lists: Lists[int]) -> None:
    for number in (2, 4, 6):
        lists.put([number, number])
    assert lists.gather(3, 0.0) == [2, 2, 4, 4]
    assert not lists.empty()
    assert lists.gather(3, 0.0) == [6, 6]
    assert lists.empty()


def test_a_list_that_comes_while_somebody_waits_is_taken(lists: Lists[int]) -> None:
    threading.Timer(0.05, lists.put, ([7],)).start()
    assert lists.gather(1, 30.0) == [7]


def test_items_wait_for_others_and_come_when_there_are_enough(lists: Lists[int]) -> None:
    lists.put([2])
    threading.Timer(0.05, lists.put, ([4],)).start()
    assert lists.gather(2, 30.0, linger_seconds=30.0) == [2, 4]


def test_items_wait_no_longer_than_they_may(lists: Lists[int]) -> None:
    lists.put([2])
    assert lists.gather(10, 30.0, linger_seconds=0.05) == [2]


def test_nothing_comes_of_nothing(lists: Lists[int]) -> None:
    lists.put([])
    assert lists.empty()
    assert lists.gather(1, 0.0) == []


@given(LISTS, st.integers(1, 8))
def test_everything_comes_once_and_in_order(given_lists: list[list[int]], most: int) -> None:
    queues = lanes()
    for items in given_lists:
        queues.put(items)
    everything = [number for items in given_lists for number in items]
    for kind, waiting in enumerate((queues.bulk, queues.interactive)):
        taken = []
        while not waiting.empty():
            taken += waiting.gather(most, 0.0)
        assert taken == [number for number in everything if number % 2 == kind]


def test_plain_lists_are_taken_together_until_there_are_enough() -> None:
    waiting: queue.Queue[list[int]] = queue.Queue()
    for number in (1, 2, 3):
        waiting.put([number, number])
    assert gathered(waiting, 3, 0.0) == [1, 1, 2, 2]


@pytest.mark.parametrize(("seconds", "size"), [(0.2, 1_000), (0.5, 1_000), (1.0, 500), (60.0, LEAST_ITEMS)])
def test_a_portion_takes_half_a_second(seconds: float, size: int) -> None:
    portion = Portion(1_000)
    portion.took(1_000, seconds)
    assert portion.size == size


def test_a_portion_of_few_items_says_nothing_of_more() -> None:
    portion = Portion(1_000)
    portion.took(1, PORTION_SECONDS)
    assert portion.size == 1_000


def test_a_long_list_need_not_be_taken_whole(lists: Lists[int]) -> None:
    lists.put([0] * 3 * LONGEST_LIST)
    assert len(lists.gather(1, 0.0)) == LONGEST_LIST
    assert len(lists.gather(3 * LONGEST_LIST, 0.0)) == 2 * LONGEST_LIST


def test_there_is_enough_when_as_many_wait_as_were_last_asked_for(lists: Lists[int]) -> None:
    lists.put([0] * 5)
    assert not lists.has_enough
    lists.gather(3, 0.0)
    lists.put([2, 4])
    assert not lists.has_enough
    lists.put([6])
    assert lists.has_enough
