"""A thread that does not move is reported once, with every stack and no variable."""

import threading
from typing import Any

import pytest
import structlog
from dragoman.worker.metrics import Metrics
from dragoman.worker.stuck_detector import StuckDetector, stacks

CANARY = "Zanzibarcanary"


class Bench:
    def __init__(self) -> None:
        self.metrics = Metrics()
        self.beats = {"intake": 0.0, "settler": 0.0}
        watched = {name: lambda name=name: self.beats[name] for name in self.beats}
        self.detector = StuckDetector(watched, self.metrics, 30.0)

    def check(self, now_seconds: float) -> list[Any]:
        with structlog.testing.capture_logs() as events:
            self.detector.check(now_seconds)
        return [event["silent_seconds"] for event in events]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_nothing_is_reported_while_everybody_moves(bench: Bench) -> None:
    assert bench.check(30.0) == []


def test_each_is_reported_once_when_it_stops_moving(bench: Bench) -> None:
    bench.beats["settler"] = 10.0
    assert bench.check(31.0) == [{"intake": 31.0}]
    assert bench.check(32.0) == []
    assert bench.check(41.0) == [{"settler": 31.0}]
    assert bench.metrics.registry.get_sample_value("dragoman_stuck_threads_total") == 2


def test_the_next_standstill_is_reported_when_a_thread_had_moved_again(bench: Bench) -> None:
    bench.beats["settler"] = 1_000.0
    assert bench.check(31.0) == [{"intake": 31.0}]
    bench.beats["intake"] = 40.0
    assert bench.check(41.0) == []
    assert bench.check(80.0) == [{"intake": 40.0}]


def test_stacks_name_functions_and_hold_no_variable() -> None:
    waiting, ended = threading.Event(), threading.Event()

    def wait_with_a_text(text: str) -> None:
        waiting.set()
        ended.wait(30)
        assert text

    thread = threading.Thread(target=wait_with_a_text, args=(CANARY,), name="waiting")
    thread.start()
    waiting.wait(30)
    found = stacks()
    ended.set()
    thread.join()
    assert any(frame.startswith("wait_with_a_text (worker/test_stuck_detector.py:") for frame in found["waiting"])
    assert CANARY not in str(found)
