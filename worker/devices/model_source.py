"""Where a model comes from: described without its weights, or loaded on a device. Travels to the device by pickle."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Protocol

from ...errors import ConfigurationError
from ...model.shipped import checkpoints_in, default_checkpoint, find_checkpoint
from ...model.source_side import SourceSide
from .segment_translator import SegmentTranslator, SourceSideModel

# Bytes of a weight by precision; "auto" is int8 on a CPU and bfloat16 elsewhere.
WEIGHT_BYTES = {"int8": 1, "int8-exact": 1, "float16": 2, "bfloat16": 2, "float32": 4}


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """How a checkpoint is run; see `Translator.load` and `EngineLimits`. `threads` 0 = as many as cores."""

    engine: str = "auto"
    precision: str = "auto"
    rows: int = 0
    cache_bytes: int = 0
    threads: int = 0
    shapes: Literal["fitting", "fixed"] = "fitting"


@dataclass(frozen=True, slots=True)
class Described:
    """A model without its weights, and what the history notes of it."""

    side: SourceSideModel
    sha256: str
    card: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model on its device, what runs it, and how much its weights take there."""

    translator: SegmentTranslator
    runs_on: str
    size_bytes: int


class ModelSource(Protocol):
    """One model that a worker serves."""

    def describe(self) -> Described:
        """Read it without its weights; raises `ConfigurationError`."""
        ...

    def size_bytes(self, device: str) -> int:
        """About what its weights will take on the device."""
        ...

    def load(self, device: str) -> LoadedModel:
        """Load it on the device; raises `ConfigurationError`."""
        ...


@dataclass(frozen=True, slots=True)
class CheckpointSource:
    """A checkpoint folder."""

    folder: Path
    choice: EngineChoice = EngineChoice()

    def describe(self) -> Described:
        """See `ModelSource.describe`."""
        side = SourceSide.load(self.folder)
        return Described(side, side.sha256, {"markdown": side.card})

    def size_bytes(self, device: str) -> int:
        """See `ModelSource.size_bytes`."""
        usual = 1 if device == "cpu" else 2
        return SourceSide.load(self.folder).weights * WEIGHT_BYTES.get(self.choice.precision, usual)

    def load(self, device: str) -> LoadedModel:
        """See `ModelSource.load`."""
        import torch

        from ...model.engine.limits import EngineLimits
        from ...model.translator import Translator

        choice = self.choice
        if choice.threads:
            torch.set_num_threads(choice.threads)
        limits = EngineLimits(rows=choice.rows, cache_bytes=choice.cache_bytes, shapes=choice.shapes)
        translator = Translator.load(self.folder, device, choice.engine, choice.precision, limits)  # type: ignore[arg-type]
        name = translator.engine_name
        weights = sum(parameter.numel() for parameter in translator.checkpoint.network.parameters())
        return LoadedModel(translator, f"{translator.device} {name}", weights * WEIGHT_BYTES[name.split()[-1]])


@dataclass(frozen=True, slots=True)
class ImportedSource:
    """Something importable, `package.module:name`, that makes a `SegmentTranslator` when it is called.

    It is called in both processes, so it should load what is large only when it is asked to translate.
    """

    name: str

    def describe(self) -> Described:
        """See `ModelSource.describe`; its content is its name."""
        return Described(self._make(), "0" * 64)

    def size_bytes(self, device: str) -> int:  # noqa: ARG002
        """See `ModelSource.size_bytes`; nobody knows, so nothing."""
        return 0

    def load(self, device: str) -> LoadedModel:
        """See `ModelSource.load`."""
        return LoadedModel(self._make(), f"{device} {self.name}", 0)

    def _make(self) -> SegmentTranslator:
        module, _, name = self.name.partition(":")
        try:
            made: SegmentTranslator = getattr(import_module(module), name)()
        except (ImportError, AttributeError) as error:
            raise ConfigurationError(
                f"the model {self.name} cannot be imported ({error}): name a checkpoint folder or package.module:name"
            ) from error
        return made


def model_sources(named: str, choice: EngineChoice) -> tuple[ModelSource, ...]:
    """The models that a comma-separated setting names; "" is the shipped default.

    Each is a checkpoint folder, a folder of checkpoints, the name of a shipped one, or `package.module:name`.
    Raises `ConfigurationError` for a folder without a checkpoint.
    """
    names = [name.strip() for name in named.split(",") if name.strip()]
    if not names:
        return (CheckpointSource(default_checkpoint(), choice),)
    return tuple(source for name in names for source in _sources(name, choice))


def _sources(name: str, choice: EngineChoice) -> tuple[ModelSource, ...]:
    folder = find_checkpoint(name)
    if not folder.exists() and ":" in name:
        return (ImportedSource(name),)
    # A folder without a manifest of its own, and without checkpoints in it, is an error that `describe` words.
    return tuple(CheckpointSource(found, choice) for found in checkpoints_in(folder) or [folder])
