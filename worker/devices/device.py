"""What the worker needs of a device. `ProcessDevice` is one in a process of its own, `LocalDevice` one in ours."""

from typing import Protocol

from ...errors import DragomanError
from .events import Event, Group
from .model_source import ModelSource

# What every model can translate.
PROBE = "a"


class DeviceGoneError(DragomanError):
    """The device ended: what was submitted is answered by `Died`."""


class DeviceLostError(DragomanError):
    """The device does not come up, or ends whatever it is given."""


class ModelBrokenError(DragomanError):
    """The model or its device fails whatever the text."""


class Device(Protocol):
    """Runs models. One thread submits, one receives; `start` is called again after it has died.

    One that `answers_at_once` has its answers ready when `submit` returns.
    """

    name: str
    answers_at_once: bool

    def start(self) -> None:
        """Begin to start; `Ready` or `Died` says how that ended. Raises `OSError` if there can be no process."""
        ...

    def submit(self, group: Group) -> None:
        """Hand a group over; raises `DeviceGoneError`."""
        ...

    def load(self, version: str, source: ModelSource) -> None:
        """Have one more model, now and after every start; `ModelLoaded`, `ModelRefused` or `Died` says how that ended.

        Any thread may ask, while others submit or start it.
        """
        ...

    def unload(self, version: str) -> None:
        """Have one model less, when nothing of it is on the device: `ModelUnloaded` then comes. Ask again otherwise.

        A group that comes later is translated all the same.
        """
        ...

    def forget(self, version: str) -> None:
        """Do not load this model at the next start: it was refused."""
        ...

    def receive(self, timeout_seconds: float) -> list[Event]:
        """What came since; blocks until something has, at most so long."""
        ...

    def end(self, seconds: float) -> None:
        """End it, at once; waits so long for its process to be gone."""
        ...
