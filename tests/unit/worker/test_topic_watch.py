"""A topic that is made anew while it is read is noticed, without waiting for an answer."""

from collections.abc import Collection
from uuid import UUID

import pytest
from dragoman.errors import TransientError
from dragoman.worker.kafka_positions import WATCH_SECONDS, Answer, TopicFacts, TopicWatch

OLD, NEW = UUID(int=1), UUID(int=2)


class Clock:
    now_seconds = 0.0

    def __call__(self) -> float:
        return self.now_seconds


class Slow(Answer):
    """Comes when the test says so."""

    def __init__(self, ids: dict[str, UUID | None] | None) -> None:
        self._ids, self.there = ids, False

    @property
    def is_there(self) -> bool:
        return self.there

    def ids(self) -> dict[str, UUID | None]:
        if self._ids is None:
            raise TransientError("unknown")
        return self._ids


class Brokers(TopicFacts):
    def __init__(self) -> None:
        self.answers: list[Slow] = []
        self.asked = 0

    def ask(self, topics: Collection[str], timeout_seconds: float) -> Answer:
        self.asked += 1
        return self.answers[self.asked - 1]


class Bench:
    def __init__(self) -> None:
        self.clock, self.brokers = Clock(), Brokers()
        self.watch = TopicWatch(self.brokers, self.clock)
        self.watch.learn({"jobs": OLD})

    def look(self, ids: dict[str, UUID | None] | None) -> list[str]:
        """Let the time for a question come, and its answer."""
        self.brokers.answers.append(Slow(ids))
        self.clock.now_seconds += WATCH_SECONDS
        assert self.watch.strangers() == []
        self.brokers.answers[-1].there = True
        return self.watch.strangers()


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_nothing_is_said_while_topics_stay_the_same(bench: Bench) -> None:
    assert bench.look({"jobs": OLD}) == []


def test_a_topic_is_named_when_it_was_made_anew(bench: Bench) -> None:
    bench.watch.learn({"jobs": NEW})  # a partition came back: the others are still read under the old id
    assert bench.look({"jobs": NEW}) == ["jobs"]


def test_the_brokers_are_asked_again_when_they_did_not_answer(bench: Bench) -> None:
    assert bench.look(None) == []
    assert bench.look({"jobs": NEW}) == ["jobs"]


def test_one_question_is_under_way_at_a_time(bench: Bench) -> None:
    bench.brokers.answers = [Slow({"jobs": NEW})] * 2
    bench.clock.now_seconds = 10 * WATCH_SECONDS
    assert [bench.watch.strangers() for _ in range(3)] == [[]] * 3
    assert bench.brokers.asked == 1
