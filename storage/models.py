"""Versions of models: those that have written to the history, and those that are registered. Knows no checkpoint."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select, update
from sqlalchemy.dialects.postgresql import insert

from ..errors import ConfigurationError, DragomanError
from .tables import model_refusal, model_version

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A model as it was loaded; `id` is its name and the first digits of its content."""

    id: str
    source_languages: tuple[str, ...]
    target_languages: tuple[str, ...]
    content_sha256: str
    card: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RegisteredVersion:
    """A version whose files are kept at `artifact_url`; `metrics` by the name of what measured them."""

    id: str
    pairs: tuple[Pair, ...]
    content_sha256: str
    artifact_url: str
    registered_at: datetime
    first_used_at: datetime | None
    metrics: Mapping[str, Any]


def register_model_version(connection: Connection, version: ModelVersion) -> None:
    """Make the version known, once; a worker does so before it records its first row.

    Raises `DragomanError` when the id is taken by other content.
    """
    _insert(connection, version, {})
    mark_used(connection, version.id)


def mark_used(connection: Connection, version_id: str) -> None:
    """Say that the version translates from now on, unless it did before."""
    connection.execute(
        update(model_version)
        .where(model_version.c.id == version_id, model_version.c.first_used_at.is_(None))
        .values(first_used_at=func.now())
    )


def register_artifact(connection: Connection, version: ModelVersion, pairs: Sequence[Pair], artifact_url: str) -> None:
    """Say where the files of a version are kept; it may have translated before. Raises as `register_model_version`."""
    _insert(connection, version, {"first_used_at": None})
    connection.execute(
        update(model_version)
        .where(model_version.c.id == version.id)
        .values(
            artifact_url=artifact_url,
            pairs=["-".join(pair) for pair in pairs],
            registered_at=func.coalesce(model_version.c.registered_at, func.now()),
        )
    )


def registered_versions(connection: Connection) -> Sequence[RegisteredVersion]:
    """Every registered version, the latest first."""
    statement = select(model_version).where(model_version.c.artifact_url.is_not(None))
    rows = connection.execute(statement.order_by(model_version.c.registered_at.desc(), model_version.c.id))
    return [_version(row) for row in rows]


def find_version(connection: Connection, named: str) -> RegisteredVersion:
    """The registered version with this id, or the only one whose id begins so; raises `ConfigurationError`."""
    every = registered_versions(connection)
    found = [one for one in every if one.id == named] or [one for one in every if one.id.startswith(named)]
    if len(found) == 1:
        return found[0]
    if found:
        raise ConfigurationError(f"{named} may be {', '.join(one.id for one in found)}: name one of them")
    raise ConfigurationError(f"no version {named} is registered: `dragoman models register` makes one known")


def add_metrics(connection: Connection, version_id: str, name: str, figures: Mapping[str, Any]) -> None:
    """Keep what was measured of a version, in place of what stood under that name."""
    connection.execute(
        update(model_version)
        .where(model_version.c.id == version_id)
        .values(metrics=model_version.c.metrics.concat({name: dict(figures)}))
    )


def refuse_version(connection: Connection, version_id: str, worker_id: str, reason: str) -> None:
    """Write down that a worker cannot serve a version that is deployed."""
    values = {"model_version_id": version_id, "worker_id": worker_id, "reason": reason}
    connection.execute(insert(model_refusal).values(values))


def _insert(connection: Connection, version: ModelVersion, more: Mapping[str, Any]) -> None:
    values = asdict(version) | {
        "source_languages": list(version.source_languages),
        "target_languages": list(version.target_languages),
    }
    connection.execute(insert(model_version).values(values | dict(more)).on_conflict_do_nothing())
    known = select(model_version.c.content_sha256).where(model_version.c.id == version.id)
    if connection.execute(known).scalar_one() != version.content_sha256:
        raise DragomanError(f"the model version {version.id} is in the history with other content: rename the model")


def _version(row: Row[Any]) -> RegisteredVersion:
    return RegisteredVersion(
        row.id,
        tuple((source, target) for source, _, target in (pair.partition("-") for pair in row.pairs)),
        row.content_sha256,
        row.artifact_url,
        row.registered_at,
        row.first_used_at,
        row.metrics,
    )
