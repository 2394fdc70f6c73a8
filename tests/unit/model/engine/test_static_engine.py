"""Requests in static batches: who shares one, in which order they come, who fails with whom."""

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from dragoman.errors import ConfigurationError
from dragoman.model.batching import BatchLimits
from dragoman.model.decoding import Hypothesis, SearchOptions
from dragoman.model.engine import static_engine as module
from dragoman.model.engine.request import Request
from dragoman.model.engine.static_engine import StaticEngine
from dragoman.model.vocabularies.vocabulary import END

GREEDY, BEAM = SearchOptions(beam_size=1), SearchOptions(beam_size=4)


class Batches:
    """Translates each source to itself; the first batch waits until `gate` is open."""

    def __init__(self) -> None:
        self.gate, self.begun = threading.Event(), threading.Event()
        self.seen: list[list[int]] = []
        self.options: list[set[SearchOptions]] = []

    def __call__(self, requests: Sequence[Request]) -> list[list[Hypothesis]]:
        self.begun.set()
        assert self.gate.wait(timeout=60)
        self.seen.append([request.source[0] for request in requests])
        self.options.append({request.options for request in requests})
        if any(request.source[0] == 0 for request in requests):
            raise OSError("the device is gone")
        return [[Hypothesis(request.source, 0.0, ())] for request in requests]


@pytest.fixture
def batches() -> Batches:
    return Batches()


@pytest.fixture
def start(batches: Batches) -> Iterator[Callable[..., StaticEngine]]:
    """Starts an engine in the middle of its first batch, until the gate opens."""
    started: list[StaticEngine] = []

    def make(waiting: int = 1000) -> StaticEngine:
        started.append(StaticEngine(batches, waiting))
        started[-1].submit([request(1)])
        assert batches.begun.wait(timeout=60)
        return started[-1]

    yield make
    batches.gate.set()
    for engine in started:
        engine.close()


def request(name: int, options: SearchOptions = GREEDY, length: int = 2, **more: Any) -> Request:
    return Request((*[name] * (length - 1), END), options, 5, tuple, **more)


def result(one: Request) -> Any:
    return one.future.result(timeout=60)


def test_each_request_gets_its_own_answer(batches: Batches, start: Callable[..., StaticEngine]) -> None:
    asked = [request(name, length=name % 7 + 2) for name in range(2, 40)]
    start().submit(asked)
    batches.gate.set()

    assert [result(one)[0].pieces for one in asked] == [one.source for one in asked]


def test_batch_has_one_set_of_options(batches: Batches, start: Callable[..., StaticEngine]) -> None:
    asked = [request(name, options) for name, options in enumerate((GREEDY, BEAM, GREEDY, BEAM), 2)]
    start().submit(asked)
    batches.gate.set()
    for one in asked:
        result(one)

    assert sorted(batches.seen[1:]) == [[2, 4], [3, 5]]
    assert {len(options) for options in batches.options} == {1}


def test_urgent_requests_come_first_and_share_no_batch_with_others(
    batches: Batches, start: Callable[..., StaticEngine]
) -> None:
    asked = [request(name, priority=priority) for name, priority in ((2, 1), (3, 0), (4, 1), (5, 0))]
    start().submit(asked)
    batches.gate.set()
    for one in asked:
        result(one)

    assert batches.seen[1:] == [[3, 5], [2, 4]]


def test_requests_of_like_length_share_a_batch(
    batches: Batches, start: Callable[..., StaticEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LIMITS", BatchLimits(tokens=100, rows=2))
    asked = [request(name, length=length) for name, length in ((2, 9), (3, 3), (4, 8), (5, 3))]
    start().submit(asked)
    batches.gate.set()
    for one in asked:
        result(one)

    assert sorted(map(sorted, batches.seen[1:])) == [[2, 4], [3, 5]]


def test_cancelled_request_is_not_translated(batches: Batches, start: Callable[..., StaticEngine]) -> None:
    unwanted, wanted = request(2), request(3)
    start().submit([unwanted, wanted])
    assert unwanted.future.cancel()
    batches.gate.set()
    result(wanted)

    assert batches.seen == [[1], [3]]


def test_failing_batch_fails_alone(batches: Batches, start: Callable[..., StaticEngine]) -> None:
    bad, good = request(0), request(2, BEAM)
    start().submit([bad, good])
    batches.gate.set()

    with pytest.raises(OSError, match="the device is gone"):
        result(bad)
    assert result(good)


def test_full_queue_refuses_in_time(start: Callable[..., StaticEngine]) -> None:
    engine = start(1)
    engine.submit([request(2)])

    with pytest.raises(TimeoutError, match="1 segments wait already"):
        engine.submit([request(3)], timeout_seconds=0.0)


def test_closed_engine_finishes_its_batch_and_fails_what_waits(
    batches: Batches, start: Callable[..., StaticEngine]
) -> None:
    engine, waiting = start(), request(2)
    engine.submit([waiting])
    closing = threading.Thread(target=engine.close, daemon=True)
    closing.start()
    with pytest.raises(ConfigurationError, match="the translator was closed before this segment was translated"):
        result(waiting)
    batches.gate.set()
    closing.join(timeout=60)

    assert batches.seen == [[1]]
    with pytest.raises(ConfigurationError, match="the translator is closed: load it again"):
        engine.submit([request(3)])


def test_batches_behind_the_running_one_fail_when_the_engine_closes(
    batches: Batches, start: Callable[..., StaticEngine]
) -> None:
    engine = start()
    # Both are taken from the queue at once, and the first closes the engine.
    first, second = Request((2, END), GREEDY, 5, lambda _: engine.close()), request(3, BEAM)
    engine.submit([first, second])
    batches.gate.set()

    with pytest.raises(ConfigurationError, match="the translator was closed before this segment was translated"):
        result(second)
    assert result(first) is None
    assert batches.seen == [[1], [2]]


def test_engine_can_be_closed_from_its_own_thread(batches: Batches) -> None:
    engine = StaticEngine(batches, 10)
    batches.gate.set()
    last = Request((2, END), GREEDY, 5, lambda _: engine.close())
    engine.submit([last])

    assert result(last) is None
    engine._thread.join(timeout=60)
    assert not engine._thread.is_alive()
