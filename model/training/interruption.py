"""Ctrl-C and SIGTERM, heard at moments when a run is whole. Knows signals, nothing of training."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Remembers that the run was asked to stop; a second request raises KeyboardInterrupt, wherever the run is."""

    def __init__(self) -> None:
        self.requested = False
        self._at_once = False

    @contextmanager
    def heard(self) -> Iterator["Interruption"]:
        """Take the signals, in the main thread; elsewhere they stay with whoever has them."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = {number: signal.signal(number, self._hear) for number in SIGNALS}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Where nothing is half done (an evaluation): a request raises KeyboardInterrupt here."""
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False

    def _hear(self, _number: int, _frame: FrameType | None) -> None:
        again, self.requested = self.requested, True
        if again or self._at_once:
            raise KeyboardInterrupt
