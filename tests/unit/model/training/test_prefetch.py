"""Values made ahead in a thread."""

import threading
from collections.abc import Generator
from threading import Event

import pytest
from dragoman.model.training.prefetch import prefetched


class Maker:
    """Makes numbers and notes what happened to it."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.made: list[int] = []
        self.threads: set[str] = set()
        self.ahead = Event()
        self.closed = False

    def values(self) -> Generator[int, None, None]:
        try:
            for number in range(self.count):
                self.threads.add(threading.current_thread().name.rpartition("_")[0])
                self.made.append(number)
                if number == 1:
                    self.ahead.set()
                yield number
        finally:
            self.closed = True


def alive() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("prefetch")]


def test_values_come_in_order_from_the_thread() -> None:
    maker = Maker(5)

    assert (list(prefetched(maker.values(), Event())), maker.threads, alive()) == ([*range(5)], {"prefetch"}, [])


def test_next_value_is_made_while_the_last_is_used() -> None:
    maker = Maker(5)
    values = prefetched(maker.values(), Event())

    next(values)

    assert maker.ahead.wait(timeout=60)
    values.close()


def test_nothing_is_left_running_when_it_is_closed() -> None:
    maker, stopped = Maker(100), Event()
    values = prefetched(maker.values(), stopped)
    next(values)

    values.close()

    assert (stopped.is_set(), maker.closed, alive(), len(maker.made)) == (True, True, [], 2)


def test_nothing_is_left_running_when_it_is_forgotten() -> None:
    maker, stopped = Maker(100), Event()
    values = prefetched(maker.values(), stopped)
    next(values)

    del values

    assert (stopped.is_set(), maker.closed, alive()) == (True, True, [])


def test_error_comes_after_the_values_before_it() -> None:
    def failing() -> Generator[int, None, None]:
        yield 1
        raise ValueError("no more")

    values = prefetched(failing(), Event())
    first = next(values)

    with pytest.raises(ValueError, match="no more"):
        next(values)
    assert (first, alive()) == (1, [])
