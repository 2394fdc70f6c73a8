"""Calls that may never return, made on a thread of their own and waited for with a limit.

A server that is frozen keeps its connections open and answers nothing; no timeout of its own can end that.
"""

import queue
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from ..errors import TransientError

T = TypeVar("T")


class _Call(Generic[T]):
    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self._result: list[T] = []
        self.error: BaseException | None = None
        self.done = threading.Event()

    def run(self) -> None:
        try:
            self._result.append(self._function())
        except BaseException as error:  # noqa: BLE001 - it is raised where the call is waited for
            self.error = error
        self.done.set()

    @property
    def result(self) -> T:
        if self.error is not None:
            raise self.error
        return self._result[0]


class BoundedCalls:
    """One thread that makes calls in the order in which they were asked for."""

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[_Call[object]] = queue.SimpleQueue()
        self._latest: _Call[object] | None = None
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def call(self, function: Callable[[], T], timeout_seconds: float) -> T:
        """Return what the function returns, or raise what it raises.

        Raises `TransientError` when it takes too long, and at once while an earlier call still has not returned: that
        one may take effect late, and a later one must take effect after it.
        """
        if self._latest is not None and not self._latest.done.is_set():
            raise TransientError("an earlier call has not been answered yet")
        call = _Call(function)
        self._latest = call  # type: ignore[assignment]
        self._calls.put(call)  # type: ignore[arg-type]
        if not call.done.wait(timeout_seconds):
            raise TransientError(f"there was no answer within {timeout_seconds:g} s")
        return call.result

    def _work(self) -> None:
        while True:
            self._calls.get().run()
