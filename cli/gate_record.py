"""What the gate found of a version, as the registry keeps it. Loads no weights."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from ..storage.models import Pair, RegisteredVersion, add_metrics


def keep_findings(connection: Connection, version: RegisteredVersion, pair: Pair, figures: Mapping[str, Any]) -> None:
    """Keep what the gate found of a version for a pair, in place of what it found before."""
    add_metrics(connection, version.id, _name(pair), figures)


def hindrance(version: RegisteredVersion, pair: Pair, production: str | None) -> str | None:
    """Why the version may not answer beside the one in production; None = the gate let it pass against that."""
    figures = version.metrics.get(_name(pair))
    if figures is None:
        return "it has not been through the gate"
    if figures["objections"]:
        return f"the gate kept it out: {'; '.join(figures['objections'])}"
    if figures["against"] != production:
        return f"the gate compared it with {figures['against'] or 'no other version'}, not with {production}"
    return None


def _name(pair: Pair) -> str:
    return f"gate {'-'.join(pair)}"
