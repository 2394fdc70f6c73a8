"""Writes down what every thread is doing when one of them does not move any more, once each time that happens.

Knows beats as functions. Files, lines and names of functions only: a variable could hold somebody's text.
"""

import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping

import structlog

from .metrics import Metrics

log = structlog.get_logger(__name__)

CHECK_SECONDS = 1.0
# Longer than any answer that is waited for in the ordinary run of things.
STUCK_SECONDS = 30.0
DEEPEST_FRAMES = 12


class StuckDetector:
    """Compares the last beat of each watched thread with the clock."""

    def __init__(
        self, beats: Mapping[str, Callable[[], float]], metrics: Metrics, patience_seconds: float = STUCK_SECONDS
    ) -> None:
        """`beats` says for each name when it last moved, on the monotonic clock."""
        self._beats = beats
        self._metrics = metrics
        self._patience_seconds = patience_seconds
        self._stuck: set[str] = set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stuck-detector", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._ended.set()

    def check(self, now_seconds: float) -> None:
        """Report those that have become stuck since the last check; forget those that move again."""
        silent = {name: now_seconds - beat() for name, beat in self._beats.items()}
        stuck = {name for name, seconds in silent.items() if seconds > self._patience_seconds}
        news = stuck - self._stuck
        self._stuck = stuck
        if news:
            self._metrics.stuck.inc(len(news))
            seconds = {name: round(silent[name], 1) for name in sorted(news)}
            log.error("threads_stuck", silent_seconds=seconds, stacks=stacks())

    def _run(self) -> None:
        while not self._ended.wait(CHECK_SECONDS):
            self.check(time.monotonic())


def stacks() -> dict[str, list[str]]:
    """What every thread is in, innermost last: function, file and line."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    return {
        names.get(number, str(number)): [
            f"{frame.f_code.co_name} ({_short(frame.f_code.co_filename)}:{line})"
            for frame, line in list(traceback.walk_stack(top))[:DEEPEST_FRAMES][::-1]
        ]
        for number, top in sys._current_frames().items()
    }


def _short(path: str) -> str:
    """The file and its folder: enough to find it, nothing about the machine."""
    return "/".join(path.split("/")[-2:])
