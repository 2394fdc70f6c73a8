"""A thread with one item ahead: order, errors, and an end in time."""

from threading import Event

import pytest
from dragoman.storage.read_ahead import Give, read_ahead


def nothing() -> None:
    """Cancel what ends by itself."""


def test_items_come_in_their_order_when_all_are_taken() -> None:
    def produce(give: Give[int]) -> None:
        for number in range(100):
            give(number)

    with read_ahead(produce, nothing) as items:
        assert list(items) == list(range(100))


def test_the_error_is_raised_after_the_items_when_the_producer_fails() -> None:
    def produce(give: Give[int]) -> None:
        give(1)
        raise LookupError("lost")

    with read_ahead(produce, nothing) as items:
        assert next(items) == 1
        with pytest.raises(LookupError, match="lost"):
            next(items)


def test_the_producer_ends_when_nobody_wants_more() -> None:
    ended = Event()

    def produce(give: Give[int]) -> None:
        try:
            while True:
                give(1)
        finally:
            ended.set()

    with read_ahead(produce, nothing) as items:
        next(items)

    assert ended.is_set()


def test_a_producer_that_waits_is_cancelled_when_nobody_wants_more() -> None:
    cancelled = Event()

    def produce(give: Give[int]) -> None:
        give(1)
        cancelled.wait()

    with read_ahead(produce, cancelled.set) as items:
        assert next(items) == 1

    assert cancelled.is_set()


def test_the_callers_error_comes_through_when_it_fails_midway() -> None:
    def produce(give: Give[int]) -> None:
        while True:
            give(1)

    def take() -> None:
        with read_ahead(produce, nothing) as items:
            next(items)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        take()
