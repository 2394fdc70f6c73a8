"""Requests that wait for a place in the running batch. Knows no tensors."""

import heapq
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import count

from ...errors import ConfigurationError
from .request import Request


class Waiting:
    """A bounded queue of requests by priority, then by arrival. Thread-safe.

    `capacity` bounds the requests that wait: `put` blocks until there is room, which is the engine's back-pressure.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._heap: list[tuple[int, int, Request]] = []
        self._numbers = count()
        self._changed = threading.Condition()
        self._closed = False
        self._taker: int | None = None

    def __len__(self) -> int:
        with self._changed:
            return len(self._heap)

    def put(self, requests: Iterable[Request], timeout_seconds: float | None = None) -> None:
        """Let requests wait; blocks while the queue is full.

        Raises `TimeoutError` if there is no room for all of them in time, or if it is the thread which takes them out
        that would have to wait, and `ConfigurationError` once the engine is closed.
        """
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        for request in requests:
            with self._changed:
                self._wait_for_room(deadline)
                heapq.heappush(self._heap, (request.priority, next(self._numbers), request))
                self._changed.notify_all()

    def _wait_for_room(self, deadline: float | None) -> None:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        if threading.get_ident() == self._taker:
            left = 0.0
        if not self._changed.wait_for(lambda: self._closed or len(self._heap) < self._capacity, left):
            raise TimeoutError(f"{self._capacity} segments wait already: submit more slowly")
        if self._closed:
            raise ConfigurationError("the translator is closed: load it again")

    def take(self, fits: Callable[[Request], bool], most: int) -> list[Request]:
        """Up to `most` requests, first come first, until one does not fit; never blocks.

        A request whose future was cancelled is dropped; it may still be cancelled afterwards, while it is decoded.
        """
        taken: list[Request] = []
        with self._changed:
            self._taker = threading.get_ident()
            while self._heap and len(taken) < most:
                request = self._heap[0][2]
                if request.future.cancelled():
                    request.future.set_running_or_notify_cancel()  # wakes whoever waits for it
                elif fits(request):
                    taken.append(request)
                else:
                    break
                heapq.heappop(self._heap)
            self._changed.notify_all()
        return taken

    def wait(self, timeout_seconds: float) -> bool:
        """Block until something waits or the queue is closed, at most so long; False if neither happened."""
        with self._changed:
            return self._changed.wait_for(lambda: bool(self._heap) or self._closed, timeout_seconds)

    def close(self) -> Sequence[Request]:
        """Take nothing more; returns the requests that still waited."""
        with self._changed:
            self._closed = True
            left = [request for _, _, request in sorted(self._heap, key=lambda entry: entry[:2])]
            self._heap.clear()
            self._changed.notify_all()
        return left

    @property
    def is_closed(self) -> bool:
        with self._changed:
            return self._closed
