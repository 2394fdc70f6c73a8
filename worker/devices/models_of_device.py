"""The models of one device: what is known of those it has, and what became of those that it was asked to take.

One thread asks; the device's keeper tells what it hears. What the device is given to translate is not known here.
"""

import threading
from collections.abc import Mapping

import structlog

from ..metrics import Metrics
from .device import Device
from .events import ModelFacts, ModelLoaded
from .model_source import ModelSource

log = structlog.get_logger(__name__)


class ModelsOfDevice:
    """Thread-safe."""

    def __init__(self, device: Device, metrics: Metrics) -> None:
        self._device = device
        self._metrics = metrics
        # Of what is known here; the device is never waited for with it in hand, or its keeper could not end it.
        self._lock = threading.Lock()
        self._loading: set[str] = set()
        self._facts: dict[str, ModelFacts] = {}
        self._refusals: dict[str, str] = {}

    @property
    def facts(self) -> Mapping[str, ModelFacts]:
        """The models on the device."""
        return self._facts

    def has(self, version: str) -> bool:
        """Whether the model is on the device."""
        with self._lock:
            return version in self._facts

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

    def loaded(self, event: ModelLoaded) -> None:
        """The device has taken a model, and let others go for it."""
        facts = event.facts
        with self._lock:
            for version in event.evicted:
                self._facts.pop(version, None)
            self._loading.discard(facts.version)
            self._facts[facts.version] = facts
        self._metrics.model_loads.inc()
        self._metrics.model_evictions.inc(len(event.evicted))
        log.info(
            "model_loaded",
            model=facts.version,
            runs_on=facts.runs_on,
            seconds=round(event.seconds, 2),
            evicted=len(event.evicted),
        )

    def left(self, version: str) -> None:
        """The device has let a model go because it was asked to."""
        with self._lock:
            self._facts.pop(version, None)
        log.info("model_unloaded", model=version)

    def refused(self, version: str, reason: str) -> None:
        """The device has not taken a model, and will not at its next start."""
        with self._lock:
            self._loading.discard(version)
            self._refusals[version] = reason
        self._device.forget(version)

    def died(self, detail: str) -> None:
        """The device is gone with all it had; what it was loading then may have been the reason."""
        with self._lock:
            loading = list(self._loading)
            self._facts.clear()
        for version in loading:
            self.refused(version, f"the device died while it loaded the model {version} ({detail})")
