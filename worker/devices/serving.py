"""What a worker serves: models, and the devices they run on, as the settings name them. Loads nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from ...errors import ConfigurationError
from ...settings import Settings
from .device import Device
from .device_models import DeviceOrder
from .local_device import LocalDevice
from .model_source import Described, EngineChoice, ModelSource, model_sources
from .process_device import ProcessDevice
from .segment_translator import SegmentTranslator
from .served_models import Pair, Route, ServedModels


@dataclass(frozen=True, slots=True)
class Serving:
    """The models of a worker without their weights, the preferred one of a language pair first, and its devices.

    With `routes`, a pair is served as they say and no other is.
    """

    models: tuple[Described, ...]
    devices: tuple[Device, ...]
    routes: Mapping[Pair, Route] | None = None

    @classmethod
    def as_set(cls, settings: Settings) -> Self:
        """As the settings say, a process each device; raises `ConfigurationError` for models that cannot be read."""
        sources = model_sources(settings.checkpoint, engine_choice(settings))
        models = tuple(source.describe() for source in sources)
        versions = [model.side.version for model in models]
        twice = next((version for version in versions if versions.count(version) > 1), None)
        if twice is not None:
            raise ConfigurationError(f"the model {twice} is named twice in DRAGOMAN_CHECKPOINT: name it once")
        return cls(models, process_devices(settings, tuple(zip(versions, sources, strict=True))))

    @classmethod
    def in_process(cls, translator: SegmentTranslator) -> Self:
        """One translator in the worker's own process: for those that cost nothing."""
        return cls((Described(translator, "0" * 64),), (LocalDevice(translator, "none"),))

    @property
    def served(self) -> ServedModels:
        """The models as admission sees them."""
        if self.routes is not None:
            return ServedModels.routed(self.routes)
        return ServedModels([model.side for model in self.models])


def engine_choice(settings: Settings) -> EngineChoice:
    """How checkpoints are run."""
    return EngineChoice(
        settings.engine,
        settings.precision,
        settings.engine_rows,
        settings.engine_cache_bytes,
        settings.threads,
        settings.engine_shapes,
    )


def shadow_order(settings: Settings) -> DeviceOrder:
    """What the process of shadows is told, on the first of the devices."""
    device = (settings.devices or settings.device).split(",")[0]
    return DeviceOrder(device, (), 0, settings.log_level, settings.log_format)


def process_devices(settings: Settings, models: tuple[tuple[str, ModelSource], ...]) -> tuple[Device, ...]:
    """A process for each device that the settings name, all with these models by version."""
    orders = [
        DeviceOrder(name, models, settings.model_memory_bytes, settings.log_level, settings.log_format)
        for name in (settings.devices or settings.device).split(",")
    ]
    return tuple(ProcessDevice(order) for order in orders)
