"""The models in the process of a device: loaded when needed, within the memory they may take. Knows no pipe."""

import gc
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ...errors import ConfigurationError
from ...model.decoding import SearchOptions
from ...model.engine.occupancy import Occupancy
from .device import PROBE
from .events import ModelFacts, ModelLoaded
from .loaded_models import LoadedModels
from .model_source import ModelSource
from .segment_translator import SegmentTranslator


@dataclass(frozen=True, slots=True)
class DeviceOrder:
    """What a device's process is told when it starts: its device, its models by version, and what they may take."""

    device: str
    models: tuple[tuple[str, ModelSource], ...]
    memory_bytes: int = 0
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "console", "json"] = "auto"


class DeviceModels:
    """Loads, probes and evicts; one thread asks for models, others say when work with them has ended."""

    def __init__(self, order: DeviceOrder, announce: Callable[[ModelLoaded], None]) -> None:
        self.is_loading = True
        # Of every model that ever was here: they only count up.
        self.occupancies: list[Occupancy] = []
        self._device = order.device
        self._sources = dict(order.models)
        self._loaded: LoadedModels[SegmentTranslator] = LoadedModels(order.memory_bytes)
        self._announce = announce
        self._working: Counter[str] = Counter()
        self._rested = threading.Condition()

    def load_first(self) -> None:
        """Load the first model, and of the others what fits beside it; one too large is a `ConfigurationError`."""
        self.is_loading = True
        for source in self._sources.values():
            self._loaded.leaving_for(source.size_bytes(self._device))
        for number, (version, source) in enumerate(self._sources.items()):
            if number == 0 or self._loaded.has_room(source.size_bytes(self._device)):
                self._load(version)
        self.is_loading = False

    def begin(self, version: str, segments: int) -> SegmentTranslator:
        """The model, loaded if it is not; it stays while `end` has not been told of so many segments."""
        if version not in self._loaded:
            self.is_loading = True
            self._load(version)
            self.is_loading = False
        with self._rested:
            self._working[version] += segments
        return self._loaded.use(version)

    def end(self, version: str, segments: int) -> None:
        """So many segments have their answers."""
        with self._rested:
            self._working[version] -= segments
            self._rested.notify_all()

    def _load(self, version: str) -> None:
        start = time.monotonic()
        source = self._sources[version]
        leaving = self._loaded.leaving_for(source.size_bytes(self._device))
        for old in leaving:
            self._evict(old)
        loaded = source.load(self._device)
        probe_model(loaded.translator)
        self._loaded.add(version, loaded.translator, loaded.size_bytes)
        if loaded.translator.occupancy is not None:
            self.occupancies.append(loaded.translator.occupancy)
        facts = ModelFacts(version, loaded.runs_on, loaded.translator.rows, loaded.translator.pads)
        self._announce(ModelLoaded(facts, time.monotonic() - start, tuple(leaving)))

    def _evict(self, version: str) -> None:
        with self._rested:
            self._rested.wait_for(lambda: self._working[version] <= 0)
        self._loaded.remove(version).close()
        free_memory()


class BrokenModelError(ConfigurationError):
    """A model that fails on a plain word."""


def probe_model(translator: SegmentTranslator) -> None:
    """Raise `BrokenModelError` unless the model translates a plain word; for want of memory, that error."""
    try:
        sources = translator.encode([PROBE], translator.pairs[0][1])
        translator.submit_pieces(sources, SearchOptions(1))[0].result()
    except MemoryError:
        raise
    except Exception as error:
        if type(error).__name__ == "OutOfMemoryError":
            raise
        raise BrokenModelError(
            f"the model {translator.version} fails on every text ({type(error).__name__} on a plain word): nothing was "
            "given up for it. Look at the device and its memory, then start the worker again"
        ) from error


def free_memory() -> None:
    """Give back what models have left behind."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
