"""When a client and its group disagree about who has what. The answers are made here; the clock is a number."""

from collections.abc import Iterable
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from dragoman.worker.group_watch import WATCH_SECONDS, GroupWatch
from dragoman.worker.message import Partition

ZERO, ONE, TWO = (("jobs", number) for number in range(3))


class Group:
    """Answers at once, or when told to."""

    def __init__(self) -> None:
        self.now = 0.0
        self.members: dict[str, tuple[Partition, ...]] = {}
        self.fails = False
        self.is_late = False
        self.asked = 0
        self.watch = GroupWatch(self.ask, lambda: self.now)

    def ask(self) -> "Future[Any]":
        self.asked += 1
        future: Future[Any] = Future()
        if self.fails:
            future.set_exception(KafkaException(KafkaError(KafkaError._TIMED_OUT)))
        elif not self.is_late:
            future.set_result(SimpleNamespace(members=[_member(*member) for member in self.members.items()]))
        return future

    def look(self, *known: Partition) -> frozenset[Partition]:
        """One question and its answer."""
        self.now += WATCH_SECONDS
        assert self.watch.misheard("me", known) == frozenset()
        return self.watch.misheard("me", known)


def _member(name: str, partitions: Iterable[Partition]) -> SimpleNamespace:
    entries = [SimpleNamespace(topic=topic, partition=number) for topic, number in partitions]
    return SimpleNamespace(member_id=name, assignment=SimpleNamespace(topic_partitions=entries))


@pytest.fixture
def group() -> Group:
    return Group()


def test_partitions_that_the_client_never_heard_of_are_named_at_the_second_look(group: Group) -> None:
    group.members = {"me": (ZERO, ONE), "other": (TWO,)}
    assert group.look(ZERO) == frozenset()
    assert group.look(ZERO) == {ONE}


def test_partitions_that_the_client_should_have_given_back_are_named_too(group: Group) -> None:
    group.members = {"me": (ZERO,)}
    assert group.look(ZERO, ONE) == frozenset()
    assert group.look(ZERO, ONE) == {ONE}


def test_nothing_is_named_while_both_agree(group: Group) -> None:
    group.members = {"me": (ZERO,)}
    assert [group.look(ZERO) for _ in range(5)] == [frozenset()] * 5


def test_partitions_that_change_hands_are_no_reason(group: Group) -> None:
    group.members = {"me": (ZERO, ONE)}
    group.look(ZERO)
    group.members = {"me": (ZERO, TWO)}
    assert group.look(ZERO) == frozenset()


def test_an_answer_counts_only_if_the_client_heard_nothing_new_meanwhile(group: Group) -> None:
    group.members = {"me": (ZERO, ONE)}
    group.look(ZERO)
    group.now += WATCH_SECONDS
    group.watch.misheard("me", [ZERO])
    assert group.watch.misheard("me", [ZERO, TWO]) == frozenset()
    assert group.look(ZERO) == frozenset()


@pytest.mark.parametrize("members", [{}, {"other": (ONE,)}])
def test_nothing_is_said_of_a_member_that_the_group_does_not_know(
    group: Group, members: dict[str, tuple[Partition, ...]]
) -> None:
    group.members = members
    assert [group.look(ZERO) for _ in range(3)] == [frozenset()] * 3


def test_a_group_that_does_not_answer_says_nothing(group: Group) -> None:
    group.fails = True
    assert [group.look(ZERO) for _ in range(3)] == [frozenset()] * 3


def test_one_question_at_a_time_is_asked_and_not_before_its_time(group: Group) -> None:
    group.is_late = True
    group.watch.misheard("me", [ZERO])
    assert group.asked == 0
    for _ in range(5):
        group.now += WATCH_SECONDS
        group.watch.misheard("me", [ZERO])
    assert group.asked == 1
