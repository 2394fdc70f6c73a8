"""A thread of the worker that says why it died."""

import threading
from collections.abc import Callable

from dragoman.worker.stage import Stage

PATIENCE_SECONDS = 30.0


class Plain(Stage):
    def __init__(self, stopping: threading.Event, work: Callable[[], object]) -> None:
        super().__init__("plain", stopping)
        self.wound_up = 0
        self._work = work

    def work(self) -> None:
        self._work()

    def wind_up(self) -> None:
        self.wound_up += 1


def fail() -> None:
    raise ValueError("broken")


def test_the_whole_worker_stops_when_a_stage_fails() -> None:
    stopping = threading.Event()
    stage = Plain(stopping, fail)
    stage.start()
    assert stopping.wait(PATIENCE_SECONDS)
    assert isinstance(stage.failure, ValueError)
    assert stage.stop(PATIENCE_SECONDS)
    assert stage.wound_up == 0


def test_a_stage_winds_up_once_when_it_is_stopped() -> None:
    stopping, worked = threading.Event(), threading.Event()
    stage = Plain(stopping, worked.set)
    stage.start()
    assert worked.wait(PATIENCE_SECONDS)
    assert stage.stop(PATIENCE_SECONDS)
    assert stage.wound_up == 1
    assert not stopping.is_set()


def test_stopping_gives_up_when_the_round_takes_too_long() -> None:
    working, release = threading.Event(), threading.Event()
    stage = Plain(threading.Event(), lambda: (working.set(), release.wait(PATIENCE_SECONDS)))
    stage.start()
    assert working.wait(PATIENCE_SECONDS)
    assert not stage.stop(0.0)
    release.set()
    assert stage.stop(PATIENCE_SECONDS)


def test_a_pause_ends_when_the_stage_is_stopped() -> None:
    pausing = threading.Event()
    stage = Plain(threading.Event(), lambda: (pausing.set(), stage.pause(PATIENCE_SECONDS)))
    stage.start()
    assert pausing.wait(PATIENCE_SECONDS)
    assert stage.stop(PATIENCE_SECONDS)
