"""From what is deployed to what is served. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from ...storage.deployments import Deployment
from ...storage.models import Pair
from ..devices.segment_translator import SourceSideModel
from ..devices.served_models import Route


@dataclass(frozen=True, slots=True)
class Wanted:
    """The versions that a language pair is to have; `percent` of its jobs go to the canary."""

    production: str | None = None
    canary: str | None = None
    percent: float = 0.0
    shadow: str | None = None

    @property
    def answering(self) -> frozenset[str]:
        """The versions that answer jobs."""
        return frozenset(version for version in (self.production, self.canary) if version is not None)


def wanted(deployments: Iterable[Deployment]) -> dict[Pair, Wanted]:
    """What the open deployments say of each pair."""
    found: dict[Pair, Wanted] = {}
    for one in deployments:
        known = found.get(one.pair, Wanted())
        if one.role == "canary":
            found[one.pair] = replace(known, canary=one.model_version_id, percent=one.percent or 0.0)
        elif one.role == "shadow":
            found[one.pair] = replace(known, shadow=one.model_version_id)
        else:
            found[one.pair] = replace(known, production=one.model_version_id)
    return found


def routes(
    plan: Mapping[Pair, Wanted], ready: Mapping[str, SourceSideModel], current: Mapping[Pair, Route]
) -> dict[Pair, Route]:
    """What can be served of the plan; a pair whose version is not ready keeps the one that it has."""
    found: dict[Pair, Route] = {}
    for pair in {**current, **plan}:
        before, asked = current.get(pair), plan.get(pair, Wanted())
        production = ready.get(asked.production or "") or (before.production if before else None)
        canary = ready.get(asked.canary or "")
        if production is None:
            continue
        if canary is None or canary.version == production.version:
            found[pair] = Route(production)
        else:
            found[pair] = Route(production, canary, asked.percent)
    return found


def serving(found: Mapping[Pair, Route]) -> frozenset[str]:
    """Every version that answers jobs by these routes."""
    return frozenset(model.version for route in found.values() for model in route.models)
