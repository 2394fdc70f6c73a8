"""A device in a process of its own: started by spawn, fed through a pipe. Knows no model."""

import atexit
import contextlib
import multiprocessing
import os
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

from .child import serve
from .device import DeviceGoneError
from .device_models import DeviceOrder
from .events import Died, Event, Fault, Group, LoadModel, ModelChange, UnloadModel
from .model_source import ModelSource

# Never fork: Kafka's client, and CUDA, do not survive it.
_SPAWN = multiprocessing.get_context("spawn")
# A process that was killed is gone within this, unless the kernel waits for its device.
END_SECONDS = 5.0


class ProcessDevice:
    """See `Device`. A process that ends, for whatever reason, is one `Died`; `start` makes a new one."""

    answers_at_once = False

    def __init__(self, order: DeviceOrder) -> None:
        self.name = order.device
        self._order = order
        # Guards the order together with the connection to the process that was given it.
        self._ordering = threading.Lock()
        self._sending = threading.Lock()
        self._process: SpawnProcess | None = None
        self._connection: Connection | None = None
        self._said: Died | None = None

    @property
    def process_id(self) -> int | None:
        """Of the process that runs now."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Make a process; it ends with the thread that calls this."""
        self.end(END_SECONDS)
        ours, theirs = _SPAWN.Pipe()
        self._said = None
        with self._ordering:
            self._process = _SPAWN.Process(
                target=serve, args=(theirs, self._order, os.getpid()), name=f"dragoman-device-{self.name}", daemon=True
            )
            try:
                self._process.start()
            finally:
                theirs.close()
            self._connection = ours
        # At its exit, multiprocessing would wait for a process that waits for us.
        atexit.register(self.end, END_SECONDS)

    def submit(self, group: Group) -> None:
        """Send the group; blocks only while the process does not read."""
        connection = self._connection
        if connection is None:
            raise DeviceGoneError(f"the device {self.name} is not running")
        try:
            with self._sending:
                connection.send(group)
        except OSError as error:
            raise DeviceGoneError(f"the device {self.name} has ended") from error

    def load(self, version: str, source: ModelSource) -> None:
        """See `Device.load`."""
        self._change(lambda order: order.with_model(version, source), LoadModel(version, source))

    def unload(self, version: str) -> None:
        """See `Device.unload`."""
        self._change(lambda order: order.with_spare(version), UnloadModel(version))

    def forget(self, version: str) -> None:
        """See `Device.forget`."""
        with self._ordering:
            self._order = self._order.without_model(version)

    def receive(self, timeout_seconds: float) -> list[Event]:
        """What came; the last of a process that has ended is `Died`."""
        connection = self._connection
        events: list[Event] = []
        if connection is None:
            return events
        try:
            while connection.poll(0 if events else timeout_seconds):
                event = connection.recv()
                if isinstance(event, Died):
                    self._said = event
                else:
                    events.append(event)
        except (EOFError, OSError):
            events.append(self._died())
        return events

    def end(self, seconds: float) -> None:
        """Kill the process; nothing is in it that is not here too."""
        if self._process is not None and self._process.pid is not None:
            self._process.kill()
            self._process.join(seconds)
            atexit.unregister(self.end)
        if self._connection is not None:
            self._connection.close()
        self._process = self._connection = None

    def _change(self, reorder: Callable[[DeviceOrder], DeviceOrder], change: ModelChange) -> None:
        """Tell the process that runs, and every later one by its order."""
        with self._ordering:
            self._order = reorder(self._order)
            connection = self._connection
        if connection is not None:
            with self._sending, contextlib.suppress(OSError):
                connection.send(change)

    def _died(self) -> Died:
        process = self._process
        said = self._said
        if process is not None:
            # It may have closed the pipe and hang: what has no pipe is of no use.
            process.join(0.2)
            status = process.exitcode
            said = said or Died(Fault.EXITED, _ending(status))
        self.end(END_SECONDS)
        return said or Died(Fault.EXITED, "it is not running")


def _ending(status: int | None) -> str:
    if status is None:
        return "it closed its pipe"
    return f"signal {-status}" if status < 0 else f"exit status {status}"
