"""Which models are on a device, and which must leave when another comes. Pure: loads and closes nothing."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic, TypeVar

from ...errors import ConfigurationError

Model = TypeVar("Model")


@dataclass(frozen=True, slots=True)
class _Loaded(Generic[Model]):
    model: Model
    size_bytes: int


class LoadedModels(Generic[Model]):
    """Models by version, the least recently used first. Not thread-safe."""

    def __init__(self, budget_bytes: int) -> None:
        """`budget_bytes` bounds the sizes of all together; 0 = nothing does."""
        self._budget_bytes = budget_bytes
        self._loaded: OrderedDict[str, _Loaded[Model]] = OrderedDict()

    def __contains__(self, version: str) -> bool:
        return version in self._loaded

    @property
    def size_bytes(self) -> int:
        """What all of them take together."""
        return sum(loaded.size_bytes for loaded in self._loaded.values())

    def use(self, version: str) -> Model:
        """The model, which becomes the most recently used; raises `KeyError` if it is not loaded."""
        self._loaded.move_to_end(version)
        return self._loaded[version].model

    def has_room(self, size_bytes: int) -> bool:
        """Whether a model of this size fits beside those that are loaded."""
        return not self._budget_bytes or self.size_bytes + size_bytes <= self._budget_bytes

    def leaving_for(self, size_bytes: int) -> list[str]:
        """Versions that must leave for a model of this size, the least recently used first.

        Raises `ConfigurationError` for a model that does not fit alone.
        """
        if self._budget_bytes and size_bytes > self._budget_bytes:
            raise ConfigurationError(
                f"a model takes {size_bytes:,} bytes, all together may take {self._budget_bytes:,}: raise "
                "DRAGOMAN_MODEL_MEMORY_BYTES, or take the model away"
            )
        leaving, left_bytes = [], self.size_bytes
        for version, loaded in self._loaded.items():
            if not self._budget_bytes or left_bytes + size_bytes <= self._budget_bytes:
                break
            leaving.append(version)
            left_bytes -= loaded.size_bytes
        return leaving

    def add(self, version: str, model: Model, size_bytes: int) -> None:
        """It was loaded."""
        self._loaded[version] = _Loaded(model, size_bytes)

    def remove(self, version: str) -> Model:
        """It leaves."""
        return self._loaded.pop(version).model
