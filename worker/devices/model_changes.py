"""Models that come to a device and leave it while it runs: what was asked for, and what became of it. Thread-safe.

One thread asks; the device's keeper tells what it hears. What the device is given to translate is not known here.
"""

import threading

from .device import Device
from .model_source import ModelSource


class ModelChanges:
    """The models of one device."""

    def __init__(self, device: Device) -> None:
        self._device = device
        # Of what is known here; the device is never waited for with it in hand, or its keeper could not end it.
        self._lock = threading.Lock()
        self._loading: set[str] = set()
        self._loaded: set[str] = set()
        self._refusals: dict[str, str] = {}

    def has(self, version: str) -> bool:
        """Whether the model is on the device."""
        with self._lock:
            return version in self._loaded

    def refusal(self, version: str) -> str | None:
        """Why the device did not take the model when it was last asked to."""
        with self._lock:
            return self._refusals.get(version)

    def load(self, version: str, source: ModelSource) -> None:
        """Ask the device to take one more model."""
        with self._lock:
            self._refusals.pop(version, None)
            self._loading.add(version)
        self._device.load(version, source)

    def unload(self, version: str) -> None:
        """Ask the device to let a model go."""
        self._device.unload(version)

    def loaded(self, version: str) -> None:
        """The device has taken it."""
        with self._lock:
            self._loading.discard(version)
            self._loaded.add(version)

    def left(self, version: str) -> None:
        """The device has let it go."""
        with self._lock:
            self._loaded.discard(version)

    def refused(self, version: str, reason: str) -> None:
        """The device has not taken it, and will not at its next start."""
        with self._lock:
            self._loading.discard(version)
            self._refusals[version] = reason
        self._device.forget(version)

    def died(self, detail: str) -> None:
        """The device is gone with all it had; what it was loading then may have been the reason."""
        with self._lock:
            loading = list(self._loading)
            self._loaded.clear()
        for version in loading:
            self.refused(version, f"the device died while it loaded the model {version} ({detail})")
