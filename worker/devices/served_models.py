"""The models that a worker serves, as admission sees them: which one translates a job. Knows no weights."""

from collections.abc import Sequence

from .segment_translator import SourceSideModel


class ServedModels:
    """Models in the order in which they are preferred."""

    def __init__(self, models: Sequence[SourceSideModel]) -> None:
        self._models = tuple(models)
        self._by_pair: dict[tuple[str, str], list[SourceSideModel]] = {}
        for model in self._models:
            for pair in model.pairs:
                self._by_pair.setdefault(pair, []).append(model)
        self._by_version = {model.version: model for model in self._models}

    def __len__(self) -> int:
        return len(self._models)

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Every (source, target) pair that one of them translates."""
        return tuple(self._by_pair)

    def of(self, version: str) -> SourceSideModel:
        """The model of that version; raises `KeyError` if it is not served."""
        return self._by_version[version]

    def of_pair(self, source: str, target: str) -> Sequence[SourceSideModel]:
        """The models that translate this pair, the preferred one first."""
        return self._by_pair.get((source, target), ())

    def serving(self, source: str, target: str, version: str | None) -> SourceSideModel | None:
        """The first that translates the pair, of the version if one is asked for."""
        found = self.of_pair(source, target)
        return next((model for model in found if version in (None, model.version)), None)
