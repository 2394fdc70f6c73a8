"""Queues of lists: what is urgent comes alone and first, and the rest comes all the same."""

import queue
import threading

import pytest
from dragoman.worker.gathering import HURRIED_SECONDS, LEAST_ITEMS, LONGEST_LIST, Portion, UrgentFirst, gathered
from hypothesis import given
from hypothesis import strategies as st

# Odd numbers are urgent.
LISTS = st.lists(st.lists(st.integers(0, 50), max_size=6), max_size=12)


@pytest.fixture
def lists() -> UrgentFirst[int]:
    return UrgentFirst(lambda number: number % 2 == 1)


def test_urgent_items_come_first_and_alone(lists: UrgentFirst[int]) -> None:
    lists.put([2, 4])
    lists.put([6, 1, 8, 3])
    assert lists.gather(10, 0.0) == [1, 3]
    assert lists.gather(10, 0.0) == [2, 4, 6, 8]


def test_the_rest_has_its_turn_while_urgent_items_keep_coming(lists: UrgentFirst[int]) -> None:
    lists.put([2])
    seen = []
    for _ in range(4):
        lists.put([1])
        seen.append(lists.gather(1, 0.0))
    assert seen == [[1], [2], [1], [1]]


def test_no_more_lists_are_taken_when_there_is_enough(lists: UrgentFirst[int]) -> None:
    for number in (2, 4, 6):
        lists.put([number, number])
    assert lists.gather(3, 0.0) == [2, 2, 4, 4]
    assert lists.qsize() == 1


def test_a_list_that_comes_while_somebody_waits_is_taken(lists: UrgentFirst[int]) -> None:
    threading.Timer(0.05, lists.put, ([7],)).start()
    assert lists.gather(1, 30.0) == [7]


def test_bulk_items_wait_for_others_and_come_when_there_are_enough(lists: UrgentFirst[int]) -> None:
    lists.put([2])
    threading.Timer(0.05, lists.put, ([4],)).start()
    assert lists.gather(2, 30.0, linger_seconds=30.0) == [2, 4]


def test_bulk_items_wait_no_longer_than_they_may(lists: UrgentFirst[int]) -> None:
    lists.put([2])
    assert lists.gather(10, 30.0, linger_seconds=0.05) == [2]


def test_urgent_items_end_the_waiting_of_the_others(lists: UrgentFirst[int]) -> None:
    lists.put([2])
    threading.Timer(0.05, lists.put, ([1],)).start()
    assert lists.gather(10, 30.0, linger_seconds=30.0) == [1]
    assert lists.gather(10, 0.0) == [2]


def test_nothing_comes_of_nothing(lists: UrgentFirst[int]) -> None:
    lists.put([])
    assert lists.empty()
    assert lists.gather(1, 0.0) == []
    with pytest.raises(queue.Empty):
        lists.get_nowait()


@given(LISTS, st.integers(1, 8))
def test_everything_comes_once_and_each_kind_in_order(given_lists: list[list[int]], most: int) -> None:
    lists = UrgentFirst[int](lambda number: number % 2 == 1)
    for items in given_lists:
        lists.put(items)
    taken = []
    while not lists.empty():
        taken += lists.gather(most, 0.0)
    everything = [number for items in given_lists for number in items]
    for kind in (0, 1):
        assert [n for n in taken if n % 2 == kind] == [n for n in everything if n % 2 == kind]


def test_plain_lists_are_taken_together_until_there_are_enough() -> None:
    waiting: queue.Queue[list[int]] = queue.Queue()
    for number in (1, 2, 3):
        waiting.put([number, number])
    assert gathered(waiting, 3, 0.0) == [1, 1, 2, 2]


@pytest.mark.parametrize(("seconds", "size"), [(0.5, 1_000), (1.0, 500), (60.0, LEAST_ITEMS)])
def test_a_portion_takes_half_a_second(seconds: float, size: int) -> None:
    portion = Portion(1_000)
    portion.took(1_000, seconds)
    assert portion.size(hurried=False) == size


@pytest.mark.parametrize(("seconds", "size"), [(0.05, 1_000), (0.1, 1_000), (0.2, 500), (60.0, LEAST_ITEMS)])
def test_a_portion_takes_a_tenth_of_a_second_while_somebody_waits(seconds: float, size: int) -> None:
    portion = Portion(1_000)
    portion.took(1_000, seconds)
    assert portion.size(hurried=True) == size


def test_a_portion_of_few_items_says_nothing_of_more() -> None:
    portion = Portion(1_000)
    portion.took(1, HURRIED_SECONDS)
    assert portion.size(hurried=True) == 1_000


def test_a_long_list_need_not_be_taken_whole(lists: UrgentFirst[int]) -> None:
    lists.put([0] * 3 * LONGEST_LIST)
    assert len(lists.gather(1, 0.0)) == LONGEST_LIST
    assert len(lists.gather(3 * LONGEST_LIST, 0.0)) == 2 * LONGEST_LIST


def test_urgent_items_are_remembered_after_they_were_taken(lists: UrgentFirst[int]) -> None:
    lists.put([2])
    assert not lists.urgent_lately
    lists.put([1])
    lists.gather(1, 0.0)
    assert lists.urgent_lately


def test_there_is_enough_when_as_many_wait_as_were_last_asked_for(lists: UrgentFirst[int]) -> None:
    lists.put([0] * 5)
    assert not lists.has_enough
    lists.gather(3, 0.0)
    lists.put([2, 4])
    assert not lists.has_enough
    lists.put([6])
    assert lists.has_enough
