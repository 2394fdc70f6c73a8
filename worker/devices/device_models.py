"""The models in the process of a device: loaded when needed, within the memory they may take. Knows no pipe."""

import gc
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from ...errors import ConfigurationError
from ...model.decoding import SearchOptions
from ...model.engine.occupancy import Occupancy
from .device import PROBE
from .events import ModelFacts, ModelLoaded, ModelUnloaded
from .loaded_models import LoadedModels
from .model_source import ModelSource
from .segment_translator import SegmentTranslator


@dataclass(frozen=True, slots=True)
class DeviceOrder:
    """What a device's process is told when it starts: its device, its models by version, and what they may take.

    `spare` models are loaded only when a group asks for one.
    """

    device: str
    models: tuple[tuple[str, ModelSource], ...]
    memory_bytes: int = 0
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "console", "json"] = "auto"
    spare: tuple[tuple[str, ModelSource], ...] = ()

    def with_model(self, version: str, source: ModelSource) -> "DeviceOrder":
        """The order with one more model to load."""
        others = self.without_model(version)
        return replace(others, models=(*others.models, (version, source)))

    def with_spare(self, version: str) -> "DeviceOrder":
        """The order with one of its models kept for late groups only; the same when that was said before."""
        spare = tuple(known for known in (*self.models, *self.spare) if known[0] == version)
        others = self.without_model(version)
        return replace(others, spare=(*others.spare, *spare))

    def without_model(self, version: str) -> "DeviceOrder":
        """The order without a model."""
        models, spare = (tuple(one for one in known if one[0] != version) for known in (self.models, self.spare))
        return replace(self, models=models, spare=spare)


class DeviceModels:
    """Loads, probes and evicts.

    One thread asks for models to work with, one changes what is there, others say when work with them has ended.
    """

    def __init__(self, order: DeviceOrder, announce: Callable[[ModelLoaded | ModelUnloaded], None]) -> None:
        self.is_loading = True
        # Of every model that ever was here: they only count up.
        self.occupancies: list[Occupancy] = []
        self._device = order.device
        self._first = dict(order.models)
        self._sources = {**self._first, **dict(order.spare)}
        self._loaded: LoadedModels[SegmentTranslator] = LoadedModels(order.memory_bytes)
        self._announce = announce
        self._working: Counter[str] = Counter()
        self._facts: dict[str, ModelFacts] = {}
        # Guards what is loaded and what works.
        self._rested = threading.Condition()
        # One model is loaded at a time.
        self._loading = threading.Lock()

    def load_first(self) -> None:
        """Load the first model, and of the others what fits beside it; one too large is a `ConfigurationError`."""
        self.is_loading = True
        for source in self._first.values():
            self._loaded.leaving_for(source.size_bytes(self._device))
        for number, (version, source) in enumerate(self._first.items()):
            if number == 0 or self._loaded.has_room(source.size_bytes(self._device)):
                self._load(version)
        self.is_loading = False

    def begin(self, version: str, segments: int) -> SegmentTranslator:
        """The model, loaded if it is not; it stays while `end` has not been told of so many segments."""
        while (translator := self._claim(version, segments)) is None:
            self.is_loading = True
            self._load(version)
            self.is_loading = False
        return translator

    def end(self, version: str, segments: int) -> None:
        """So many segments have their answers."""
        with self._rested:
            self._working[version] -= segments
            self._rested.notify_all()

    def load_beside(self, version: str, source: ModelSource) -> None:
        """Load one more while the others go on; raises `ConfigurationError` if it cannot be, or finds no room."""
        size_bytes = source.size_bytes(self._device)
        with self._loading:
            with self._rested:
                known = self._facts.get(version) if version in self._loaded else None
                if known is not None:
                    self._announce(ModelLoaded(known, 0.0))
                    return
                fits = self._loaded.has_room(size_bytes)
            if not fits:
                raise ConfigurationError(
                    f"the model {version} takes {size_bytes:,} bytes, and does not fit beside those that are served: "
                    "raise DRAGOMAN_MODEL_MEMORY_BYTES"
                )
            self._bring(version, source, ())
            self._sources[version] = source

    def unload(self, version: str) -> None:
        """Let a model go if nothing works with it; a group that comes later brings it back."""
        with self._rested:
            if version not in self._loaded or self._working[version] > 0:
                return
            leaving = self._loaded.remove(version)
            self._announce(ModelUnloaded(version))
        _end(leaving)

    def _claim(self, version: str, segments: int) -> SegmentTranslator | None:
        with self._rested:
            if version not in self._loaded:
                return None
            self._working[version] += segments
            return self._loaded.use(version)

    def _load(self, version: str) -> None:
        source = self._sources[version]
        with self._loading:
            with self._rested:
                if version in self._loaded:
                    return
                leaving = self._loaded.leaving_for(source.size_bytes(self._device))
            for old in leaving:
                self._evict(old)
            self._bring(version, source, tuple(leaving))

    def _bring(self, version: str, source: ModelSource, evicted: tuple[str, ...]) -> None:
        start = time.monotonic()
        loaded = source.load(self._device)
        probe_model(loaded.translator)
        if loaded.translator.occupancy is not None:
            self.occupancies.append(loaded.translator.occupancy)
        facts = ModelFacts(version, loaded.runs_on, loaded.translator.rows, loaded.translator.pads)
        # Whoever hears answers of a model must have heard of it before.
        with self._rested:
            self._facts[version] = facts
            self._announce(ModelLoaded(facts, time.monotonic() - start, evicted))
            self._loaded.add(version, loaded.translator, loaded.size_bytes)

    def _evict(self, version: str) -> None:
        with self._rested:
            self._rested.wait_for(lambda: self._working[version] <= 0)
            leaving = self._loaded.remove(version) if version in self._loaded else None
        if leaving is not None:
            _end(leaving)


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


def _end(leaving: SegmentTranslator) -> None:
    leaving.close()
    free_memory()


def free_memory() -> None:
    """Give back what models have left behind."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
