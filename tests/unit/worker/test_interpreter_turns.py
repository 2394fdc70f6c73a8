"""Turns of the interpreter are short while interactive jobs come, and only then."""

import pytest
from dragoman.worker.interpreter_turns import CALM_SECONDS, HURRIED_SECONDS, LATELY_SECONDS, InterpreterTurns


class Bench:
    def __init__(self) -> None:
        self.now_seconds = 1_000.0
        self.intervals: list[float] = []
        self.turns = InterpreterTurns(self.intervals.append, lambda: self.now_seconds)

    def saw(self, *, interactive: bool, after_seconds: float = 0.0) -> list[float]:
        self.now_seconds += after_seconds
        self.turns.saw(interactive=interactive)
        return self.intervals


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_nothing_is_set_while_only_bulk_comes(bench: Bench) -> None:
    assert bench.saw(interactive=False) == []


def test_turns_are_short_while_interactive_jobs_come_and_set_once(bench: Bench) -> None:
    bench.saw(interactive=True)
    bench.saw(interactive=True, after_seconds=LATELY_SECONDS / 2)
    assert bench.saw(interactive=False, after_seconds=LATELY_SECONDS * 0.9) == [HURRIED_SECONDS]


def test_turns_are_as_long_as_they_were_when_none_came_for_a_while(bench: Bench) -> None:
    bench.saw(interactive=True)
    assert bench.saw(interactive=False, after_seconds=LATELY_SECONDS) == [HURRIED_SECONDS, CALM_SECONDS]
