"""What the nemesis does of its schedule, in which order."""

import random
from typing import Any
from unittest.mock import Mock

import pytest
from dragoman.tests.faults.arena import Setup
from dragoman.tests.faults.disturbances import ACTS, Undo
from dragoman.tests.faults.nemesis import Nemesis
from dragoman.tests.faults.schedule import Planned


def test_what_ends_before_is_undone_before_the_next_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def kill(_: Any, dice: random.Random) -> Undo:
        name = f"{dice.randrange(1000)}"
        done.append(f"kill {name}")
        return lambda: done.append(f"start {name}")

    monkeypatch.setitem(ACTS, "kill", kill)
    # Less than a tick between the end of the first and the beginning of the second.
    schedule = [Planned(0.0, 0.1, "kill", "database", 1), Planned(0.11, 0.12, "kill", "database", 2)]
    Nemesis(Mock(setup=Setup())).play(schedule)

    assert [line.split()[0] for line in done] == ["kill", "start", "kill", "start"]
