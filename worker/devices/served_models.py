"""The models that a worker serves, as admission sees them: which one translates a job. Knows no weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Self

from ...schemas.jobs import TranslationJob
from .segment_translator import SourceSideModel

Pair = tuple[str, str]
# A hash falls into one of so many parts of the whole.
_PARTS = 1 << 64


@dataclass(frozen=True, slots=True)
class Route:
    """What serves a language pair: one model, and another that takes `percent` of the jobs, 0 without one."""

    production: SourceSideModel
    canary: SourceSideModel | None = None
    percent: float = 0.0

    @property
    def models(self) -> tuple[SourceSideModel, ...]:
        """The models by preference."""
        return (self.production,) if self.canary is None else (self.production, self.canary)


class ServedModels:
    """Models in the order in which they are preferred. Never changes: a worker is given another one."""

    def __init__(self, models: Sequence[SourceSideModel]) -> None:
        self._by_pair: dict[Pair, tuple[SourceSideModel, ...]] = {}
        for model in models:
            for pair in model.pairs:
                self._by_pair[pair] = (*self._by_pair.get(pair, ()), model)
        self._by_version = {model.version: model for model in models}
        self._canaries: dict[Pair, Route] = {}

    @classmethod
    def routed(cls, routes: Mapping[Pair, Route]) -> Self:
        """Models for the pairs that they are deployed for, whatever else they translate."""
        served = cls(())
        served._by_pair = {pair: route.models for pair, route in routes.items()}
        served._by_version = {model.version: model for route in routes.values() for model in route.models}
        served._canaries = {pair: route for pair, route in routes.items() if route.canary is not None}
        return served

    def __len__(self) -> int:
        return len(self._by_version)

    @property
    def pairs(self) -> tuple[Pair, ...]:
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
        if version is None:
            return found[0] if found else None
        return next((model for model in found if version == model.version), None)

    def of_job(self, job: TranslationJob) -> SourceSideModel | None:
        """The model that translates a job: the version that it names, or the canary for its share of the others."""
        route = self._canaries.get((job.source_language, job.target_language))
        if route is not None and job.model is None and takes(route.percent, job.client_id, job.source_text):
            return route.canary
        return self.serving(job.source_language, job.target_language, job.model)


def takes(percent: float, client_id: str, source_text: str) -> bool:
    """Whether a canary of so many percent gets this text: always the same answer for the same text of a client.

    A canary that grows keeps the texts that it had.
    """
    digest = blake2b(f"{client_id}\0{source_text}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") * 100 < percent * _PARTS
