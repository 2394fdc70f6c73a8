"""Calls that never return hold nobody up, and never overtake one another."""

import threading

import pytest
from dragoman.errors import ConfigurationError, TransientError
from dragoman.worker.bounded_calls import BoundedCalls


@pytest.fixture
def calls() -> BoundedCalls:
    return BoundedCalls("test")


def test_a_call_returns_what_its_function_returns(calls: BoundedCalls) -> None:
    assert [calls.call(lambda: 1, 30.0), calls.call(lambda: 2, 30.0)] == [1, 2]


def test_a_call_raises_what_its_function_raises(calls: BoundedCalls) -> None:
    def refuse() -> None:
        raise ConfigurationError("no table")

    with pytest.raises(ConfigurationError, match="no table"):
        calls.call(refuse, 30.0)


def test_a_call_gives_up_when_there_is_no_answer_in_time(calls: BoundedCalls) -> None:
    thaw = threading.Event()
    with pytest.raises(TransientError, match=r"no answer within 0\.01 s"):
        calls.call(thaw.wait, 0.01)
    thaw.set()


def test_the_next_call_is_not_begun_while_an_earlier_one_may_still_take_effect(calls: BoundedCalls) -> None:
    thaw, thawed, begun = threading.Event(), threading.Event(), threading.Event()

    def freeze() -> None:
        thaw.wait()
        thawed.set()

    with pytest.raises(TransientError):
        calls.call(freeze, 0.0)
    with pytest.raises(TransientError, match="not been answered yet"):
        calls.call(begun.set, 30.0)
    thaw.set()
    thawed.wait(30)
    assert not begun.is_set()
