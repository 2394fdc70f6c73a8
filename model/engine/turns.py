"""Engines of several models on one device take turns, so that each gets its share of the time. Knows no tensors."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class DeviceTurns:
    """One engine at a time; of those that wait, the one that has used the least time goes next. Thread-safe.

    An engine that comes late, or comes back, starts with what the last to go had used: it does not catch up on its
    absence (start-time fair queueing, Goyal et al. 1996).
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._used_seconds: dict[object, float] = {}
        self._waiting: set[object] = set()
        # What the engine that had the device last had used before it.
        self._present_seconds = 0.0
        self._busy = False

    @contextmanager
    def turn(self, engine: object) -> Iterator[None]:
        """Wait for the device, and have it until the block ends."""
        with self._changed:
            used = max(self._used_seconds.get(engine, 0.0), self._present_seconds)
            self._used_seconds[engine] = used
            self._waiting.add(engine)
            self._changed.wait_for(lambda: not self._busy and self._next() is engine)
            self._waiting.discard(engine)
            self._present_seconds = used
            self._busy = True
        start = time.perf_counter()
        try:
            yield
        finally:
            with self._changed:
                self._busy = False
                self._used_seconds[engine] += time.perf_counter() - start
                self._changed.notify_all()

    def leave(self, engine: object) -> None:
        """Forget an engine."""
        with self._changed:
            self._used_seconds.pop(engine, None)

    def _next(self) -> object:
        return min(self._waiting, key=self._used_seconds.__getitem__)


_DEVICES: dict[str, DeviceTurns] = {}
_LOCK = threading.Lock()


def turns_on(device: str) -> DeviceTurns:
    """The turns of that device, the same for every engine of this process."""
    with _LOCK:
        return _DEVICES.setdefault(device, DeviceTurns())
