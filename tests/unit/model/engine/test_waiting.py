"""The queue of requests that wait: order, bounds, cancellation, closing."""

import threading
from collections.abc import Callable
from concurrent.futures import wait

import pytest
from dragoman.errors import ConfigurationError
from dragoman.model.decoding import SearchOptions
from dragoman.model.engine.request import Request
from dragoman.model.engine.waiting import Waiting
from dragoman.model.vocabularies.vocabulary import END
from hypothesis import given
from hypothesis import strategies as st


def request(name: int = 5, priority: int = 0) -> Request:
    return Request((name, END), SearchOptions(), 5, tuple, priority)


def names(requests: list[Request]) -> list[int]:
    return [one.source[0] for one in requests]


def filled(*requests: Request, capacity: int = 100) -> Waiting:
    waiting = Waiting(capacity)
    for one in requests:
        waiting.put([one])
    return waiting


def everything(_: Request) -> bool:
    return True


@given(st.lists(st.integers(-3, 3), max_size=30))
def test_requests_come_by_priority_then_by_arrival(priorities: list[int]) -> None:
    waiting = filled(*(request(name, priority) for name, priority in enumerate(priorities)))
    found = waiting.take(everything, 100)

    assert names(found) == sorted(range(len(priorities)), key=lambda name: (priorities[name], name))


def test_no_more_are_taken_than_asked_for() -> None:
    waiting = filled(*(request(name) for name in (1, 2, 3)))

    assert names(waiting.take(everything, 2)) == [1, 2]
    assert len(waiting) == 1


def test_nothing_behind_the_first_that_does_not_fit_is_taken() -> None:
    waiting = filled(*(request(name) for name in (1, 2, 3)))

    assert names(waiting.take(lambda one: one.source[0] != 2, 10)) == [1]
    assert names(waiting.take(everything, 10)) == [2, 3]


def test_cancelled_request_is_dropped_and_who_waits_for_it_wakes() -> None:
    first, second = request(1), request(2)
    waiting = filled(first, second)
    first.future.cancel()

    assert names(waiting.take(everything, 10)) == [2]
    assert wait([first.future], timeout=60).done == {first.future}


def test_cancelled_request_is_dropped_even_where_nothing_fits() -> None:
    first = request(1)
    waiting = filled(first)
    first.future.cancel()

    assert waiting.take(lambda _: False, 10) == []
    assert len(waiting) == 0


def test_full_queue_refuses_in_time() -> None:
    waiting = filled(request(), capacity=1)

    with pytest.raises(TimeoutError, match="1 segments wait already: submit more slowly"):
        waiting.put([request()], timeout_seconds=0.0)


def in_thread(action: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=action, daemon=True)
    thread.start()
    return thread


def test_full_queue_lets_the_next_in_when_one_is_taken() -> None:
    waiting = filled(request(1), capacity=1)
    thread = in_thread(lambda: waiting.put([request(2)]))
    taken = waiting.take(everything, 1)
    thread.join(timeout=60)

    assert names(taken) == [1]
    assert names(waiting.take(everything, 1)) == [2]


def test_who_waits_for_room_is_refused_when_the_queue_closes() -> None:
    waiting, refused = filled(request(), capacity=1), threading.Event()

    def put() -> None:
        with pytest.raises(ConfigurationError, match="the translator is closed: load it again"):
            waiting.put([request()])
        refused.set()

    thread = in_thread(put)
    waiting.close()
    thread.join(timeout=60)

    assert refused.is_set()


def test_closed_queue_gives_back_what_waited_in_its_order() -> None:
    waiting = filled(request(1, priority=2), request(2), request(3, priority=1), request(4))

    assert names(list(waiting.close())) == [2, 4, 3, 1]
    assert waiting.is_closed
    assert waiting.close() == []


def test_waiting_for_nothing_ends_without_anything() -> None:
    assert not Waiting(1).wait(0.0)


def test_waiting_ends_when_something_waits() -> None:
    assert filled(request()).wait(0.0)


def test_waiting_ends_when_the_queue_closes() -> None:
    waiting = Waiting(1)
    in_thread(waiting.close)

    assert waiting.wait(60)


def test_the_thread_that_empties_the_queue_is_refused_instead_of_waiting_for_itself() -> None:
    waiting = filled(request(), capacity=1)
    waiting.take(lambda _: False, 1)

    with pytest.raises(TimeoutError, match="1 segments wait already"):
        waiting.put([request()])


def test_the_timeout_counts_for_all_requests_together() -> None:
    waiting = filled(capacity=1)

    with pytest.raises(TimeoutError, match="1 segments wait already"):
        waiting.put([request(), request()], timeout_seconds=0.0)
    assert len(waiting) == 1
