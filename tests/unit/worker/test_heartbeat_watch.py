"""A heartbeat whose answer came too late makes the worker join anew, when that can succeed and not too often."""

from uuid import UUID

import pytest
from dragoman.errors import TransientError
from dragoman.worker.heartbeat_watch import ASK_SECONDS, LEAST_AGE_SECONDS, HeartbeatWatch
from dragoman.worker.kafka_positions import Answer

LATE = "[thrd:GroupCoordinator]: GroupCoordinator/1: Timed out ConsumerGroupHeartbeatRequest in flight (after 1001ms)"
OTHER = "[thrd:GroupCoordinator]: GroupCoordinator/1: Timed out OffsetCommitRequest in flight (after 10001ms)"


class Slow(Answer):
    """Comes when the test says so."""

    def __init__(self) -> None:
        self.there, self.failed = False, False

    @property
    def is_there(self) -> bool:
        return self.there

    def ids(self) -> dict[str, UUID | None]:
        if self.failed:
            raise TransientError("no broker answered")
        return {}


class Bench:
    """A client that was made a while ago."""

    def __init__(self) -> None:
        self.now_seconds = 0.0
        self.asked: list[Slow] = []
        self.refused = False
        self.watch = HeartbeatWatch(self.ask, lambda: self.now_seconds)
        self.now_seconds = LEAST_AGE_SECONDS

    def ask(self) -> Answer:
        if self.refused:
            raise TransientError("the client is closed")
        self.asked.append(Slow())
        return self.asked[-1]

    def says(self, line: str, facility: str = "REQTMOUT") -> None:
        self.watch.log(20, "%s [%s] %s", facility, "rdkafka#consumer-1", line)

    def answer(self, *, failed: bool = False) -> bool:
        """Let a question be asked and its answer come; whether the worker must join anew then."""
        self.now_seconds += ASK_SECONDS
        assert not self.watch.must_rejoin()
        self.asked[-1].there, self.asked[-1].failed = True, failed
        return self.watch.must_rejoin()


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_nothing_is_asked_while_heartbeats_are_answered(bench: Bench) -> None:
    assert not bench.watch.must_rejoin()
    assert bench.asked == []


def test_the_group_is_joined_anew_once_brokers_answer(bench: Bench) -> None:
    bench.says(LATE)
    assert bench.answer()


@pytest.mark.parametrize(("line", "facility"), [(OTHER, "REQTMOUT"), (LATE, "FAIL")])
def test_other_lines_of_the_log_mean_nothing(bench: Bench, line: str, facility: str) -> None:
    bench.says(line, facility)
    assert not bench.watch.must_rejoin()
    assert bench.asked == []


def test_brokers_are_asked_again_until_they_answer(bench: Bench) -> None:
    bench.says(LATE)
    assert not bench.answer(failed=True)
    assert bench.answer()


def test_an_answer_from_before_the_last_loss_proves_nothing(bench: Bench) -> None:
    bench.says(LATE)
    assert not bench.watch.must_rejoin()
    bench.asked[-1].there = True
    bench.says(LATE)
    assert not bench.watch.must_rejoin()


def test_one_question_is_under_way_at_a_time(bench: Bench) -> None:
    bench.says(LATE)
    for _ in range(3):
        bench.now_seconds += ASK_SECONDS
        assert not bench.watch.must_rejoin()
    assert len(bench.asked) == 1


def test_a_question_that_cannot_be_asked_is_asked_later(bench: Bench) -> None:
    bench.says(LATE)
    bench.refused = True
    assert not bench.watch.must_rejoin()
    bench.refused = False
    assert not bench.watch.must_rejoin()
    assert bench.asked == []
    assert bench.answer()


def test_a_client_is_left_at_peace_for_a_while(bench: Bench) -> None:
    bench.now_seconds = LEAST_AGE_SECONDS - 1
    bench.says(LATE)
    assert not bench.watch.must_rejoin()
    assert bench.asked == []
    bench.now_seconds = LEAST_AGE_SECONDS
    assert bench.answer()
