"""Ends the process in time: in order when asked, at a deadline whatever its threads wait for, at once when asked twice.

Knows signals and a clock; knows not what is stopped. A thread that waits for a frozen server cannot be woken, and a
handler of Python's runs on the main thread only, which may be that one: so signals are heard on a thread of their own.
"""

import os
import signal
import socket
import threading
from collections.abc import Callable

import structlog

log = structlog.get_logger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Shutdown:
    """Watches over the end of this process; made on the main thread."""

    def __init__(self, stopping: threading.Event, limit_seconds: float, exit_code: Callable[[], int]) -> None:
        """`stopping` asks everybody to end, whoever sets it; `exit_code` says how it went when time is up."""
        self._stopping = stopping
        self._limit_seconds = limit_seconds
        self._exit_code = exit_code
        self._ended = threading.Event()
        self._reader, self._writer = socket.socketpair()

    def listen(self) -> None:
        """From now on, a signal asks for the end, and the end has a deadline."""
        self._writer.setblocking(False)
        for number in SIGNALS:
            signal.signal(number, lambda *_: None)  # the interpreter must not raise; the thread below hears of it
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for name, task in (("signals", self._hear), ("deadline", self._keep_deadline)):
            threading.Thread(target=task, name=name, daemon=True).start()

    def ended(self) -> None:
        """Everything has ended: the deadline is off."""
        self._ended.set()

    def _hear(self) -> None:
        heard = 0
        while True:
            number = self._reader.recv(1)[0]
            if number in SIGNALS:
                heard += 1
                if heard > 1:
                    os._exit(128 + number)
                self._stopping.set()

    def _keep_deadline(self) -> None:
        self._stopping.wait()
        if not self._ended.wait(self._limit_seconds):
            log.error("stopped_at_the_deadline", seconds=self._limit_seconds)
            os._exit(self._exit_code())
