"""Engines of one device take turns, in proportion to nothing but the time that they have used."""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from dragoman.model.decoding import SearchOptions
from dragoman.model.engine.core import StepRows
from dragoman.model.engine.request import Request
from dragoman.model.engine.turns import DeviceTurns, turns_on
from dragoman.model.vocabularies.vocabulary import END


class Clock:
    """Stands still until it is moved on."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("dragoman.model.engine.turns.time.perf_counter", clock)
    return clock


def use(turns: DeviceTurns, clock: Clock, engine: str, seconds: float, times: int = 1) -> None:
    """`engine` has had so many turns of so many seconds."""
    for _ in range(times):
        with turns.turn(engine):
            clock.seconds += seconds


def order_of(turns: DeviceTurns, engines: Sequence[str]) -> list[str]:
    """Who goes in which order, of engines that wait at the same time."""
    order: list[str] = []

    def go(engine: str) -> None:
        with turns.turn(engine):
            order.append(engine)

    threads = [threading.Thread(target=go, args=(engine,), daemon=True) for engine in engines]
    with turns.turn("somebody else"):
        for thread in threads:
            thread.start()
        until(lambda: turns._waiting == set(engines))
    for thread in threads:
        thread.join(timeout=60)
    return order


def until(holds: Callable[[], bool]) -> None:
    pause = threading.Event()
    while not holds():
        pause.wait(0.001)


def test_engine_that_used_less_time_goes_first(clock: Clock) -> None:
    turns = DeviceTurns()
    for engine, seconds in (("a", 3.0), ("b", 1.0), ("c", 2.0)):
        use(turns, clock, engine, seconds)

    assert order_of(turns, "abc") == ["b", "c", "a"]


def test_time_is_that_of_the_turns(clock: Clock) -> None:
    turns = DeviceTurns()
    use(turns, clock, "slow", 2.0, times=3)

    assert turns._used_seconds == {"slow": 6.0}


def test_late_engine_does_not_catch_up_on_its_absence(clock: Clock) -> None:
    turns = DeviceTurns()
    use(turns, clock, "old", 1.0, times=100)
    use(turns, clock, "new", 2.0)

    assert order_of(turns, ["old", "new"]) == ["old", "new"]


def test_engine_that_paused_does_not_catch_up_on_its_pause(clock: Clock) -> None:
    turns = DeviceTurns()
    use(turns, clock, "paused", 1.0)
    use(turns, clock, "busy", 1.0, times=100)
    use(turns, clock, "paused", 2.0)

    assert order_of(turns, ["busy", "paused"]) == ["busy", "paused"]


def break_turn(turns: DeviceTurns, clock: Clock) -> None:
    with turns.turn("broken"):
        clock.seconds += 1
        raise OSError("gone")


def test_broken_turn_lets_the_next_go(clock: Clock) -> None:
    turns = DeviceTurns()
    with pytest.raises(OSError, match="gone"):
        break_turn(turns, clock)

    assert order_of(turns, ["broken", "whole"]) == ["whole", "broken"]


def test_engine_that_left_is_forgotten(clock: Clock) -> None:
    turns = DeviceTurns()
    use(turns, clock, "gone", 1.0)
    turns.leave("gone")
    turns.leave("never there")

    assert turns._used_seconds == {}


def test_only_one_engine_has_the_device() -> None:
    turns, inside, most = DeviceTurns(), [0], [0]

    def go(engine: int) -> None:
        for _ in range(50):
            with turns.turn(engine):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                inside[0] -= 1

    threads = [threading.Thread(target=go, args=(engine,), daemon=True) for engine in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)

    assert most == [1]


def test_engines_of_one_device_share_its_turns() -> None:
    assert turns_on("cpu") is turns_on("cpu")
    assert turns_on("cpu") is not turns_on("cuda:0")


def test_engine_with_slow_steps_gets_as_much_time_and_so_fewer_steps(
    clock: Clock, scripted_core: type[Any], continuous_engine: Callable[..., Any]
) -> None:
    turns, steps = DeviceTurns(), list[float]()

    class Costly(scripted_core):  # type: ignore[misc]
        def __init__(self, seconds: float) -> None:
            super().__init__()
            self.seconds = seconds

        def step(self, rows: StepRows, width: int) -> Any:
            clock.seconds += self.seconds
            steps.append(self.seconds)
            return super().step(rows, width)

    options = SearchOptions(beam_size=1, min_pieces=200)
    asked = [Request((5, END), options, 200, tuple) for _ in range(2)]
    with turns.turn("somebody else"):
        for request, seconds in zip(asked, (3.0, 1.0), strict=True):
            continuous_engine(Costly(seconds), turns).submit([request])
        until(lambda: len(turns._waiting) == 2)
    for request in asked:
        request.future.result(timeout=60)
    share = Counter(steps[:80])

    assert share[1.0] == pytest.approx(3 * share[3.0], abs=3)
