"""Which version serves which language pair: started, ended, taken back. Knows rows, no worker and no files.

Rows are added and ended, one writer at a time; a pair has one open row of each role at most.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, Row, func, insert, select, text, update

from ..errors import ConfigurationError
from .models import Pair
from .tables import deployment

Role = Literal["production", "canary", "shadow"]
# Any number that nobody else uses: the bytes of "deploys".
ADVISORY_LOCK = int.from_bytes(b"deploys", "big")


@dataclass(frozen=True, slots=True)
class Reason:
    """Who changes a deployment, and why: a sentence without user text."""

    by: str
    why: str


@dataclass(frozen=True, slots=True)
class Deployment:
    """A version in a role for a language pair; `percent` of the jobs for a canary."""

    id: int
    pair: Pair
    model_version_id: str
    role: Role
    percent: float | None
    started_at: datetime
    started_by: str
    why: str
    previous_id: int | None
    ended_at: datetime | None
    ended_why: str | None


def promote(connection: Connection, pair: Pair, version_id: str, reason: Reason) -> Deployment:
    """Let the version translate the pair; a canary or shadow of the same version ends with that.

    Raises `ConfigurationError` if it does so already.
    """
    _lock(connection)
    current = find_open(connection, pair, "production")
    if current is not None and current.model_version_id == version_id:
        raise ConfigurationError(f"{version_id} translates {'-'.join(pair)} already, since {current.started_at:%c}")
    for role in ("canary", "shadow"):
        beside = find_open(connection, pair, role)
        if beside is not None and beside.model_version_id == version_id:
            _end(connection, beside, "promoted")
    if current is not None:
        _end(connection, current, f"replaced by {version_id}")
    return _start(connection, pair, "production", version_id, reason, current.id if current else None)


def set_beside(
    connection: Connection, pair: Pair, version_id: str, reason: Reason, percent: float | None = None
) -> Deployment:
    """Let the version take `percent` of the pair's jobs as a canary, or see them all as a shadow (None).

    Raises `ConfigurationError` without a version in production, or if it is this one.
    """
    _lock(connection)
    role: Role = "shadow" if percent is None else "canary"
    production = find_open(connection, pair, "production")
    if production is None:
        raise ConfigurationError(f"no version translates {'-'.join(pair)} yet: promote one first")
    if production.model_version_id == version_id:
        raise ConfigurationError(f"{version_id} translates all of {'-'.join(pair)} already")
    before = find_open(connection, pair, role)
    if before is not None:
        _end(connection, before, f"replaced by {version_id}")
    return _start(connection, pair, role, version_id, reason, before.id if before else None, percent)


def end_beside(connection: Connection, pair: Pair, role: Role, why: str) -> Deployment:
    """End the canary or shadow of a pair; raises `ConfigurationError` if there is none."""
    _lock(connection)
    current = find_open(connection, pair, role)
    if current is None:
        raise ConfigurationError(f"{'-'.join(pair)} has no {role}")
    _end(connection, current, why)
    return current


def roll_back(connection: Connection, pair: Pair, reason: Reason) -> Deployment:
    """Let the version before the current one translate the pair again; a second time, the one before that.

    Raises `ConfigurationError` if there is none.
    """
    _lock(connection)
    current = find_open(connection, pair, "production")
    before = find(connection, current.previous_id) if current and current.previous_id else None
    if current is None or before is None:
        raise ConfigurationError(f"no version translated {'-'.join(pair)} before: there is nothing to go back to")
    _end(connection, current, f"rolled back: {reason.why}")
    return _start(connection, pair, "production", before.model_version_id, reason, before.previous_id)


def find(connection: Connection, deployment_id: int) -> Deployment:
    """The deployment with this id."""
    return _deployment(connection.execute(select(deployment).where(deployment.c.id == deployment_id)).one())


def chain(connection: Connection, latest: Deployment) -> Sequence[Deployment]:
    """A deployment and those that it goes back to, one after the other."""
    found = [latest]
    while (previous := found[-1].previous_id) is not None:
        found.append(find(connection, previous))
    return found


def find_open(connection: Connection, pair: Pair, role: str) -> Deployment | None:
    """What serves the pair in this role now."""
    return next((one for one in open_deployments(connection) if one.pair == pair and one.role == role), None)


def open_deployments(connection: Connection) -> Sequence[Deployment]:
    """What serves now, the oldest first."""
    statement = select(deployment).where(deployment.c.ended_at.is_(None)).order_by(deployment.c.id)
    return [_deployment(row) for row in connection.execute(statement)]


def all_deployments(connection: Connection, limit: int) -> Sequence[Deployment]:
    """The latest, the newest first."""
    statement = select(deployment).order_by(deployment.c.id.desc()).limit(limit)
    return [_deployment(row) for row in connection.execute(statement)]


def _start(
    connection: Connection,
    pair: Pair,
    role: Role,
    version_id: str,
    reason: Reason,
    previous_id: int | None,
    percent: float | None = None,
) -> Deployment:
    values = {
        "source_language": pair[0],
        "target_language": pair[1],
        "model_version_id": version_id,
        "role": role,
        "percent": percent,
        "started_by": reason.by,
        "why": reason.why,
        "previous_id": previous_id,
    }
    return _deployment(connection.execute(insert(deployment).values(values).returning(deployment)).one())


def _end(connection: Connection, ending: Deployment, why: str) -> None:
    statement = update(deployment).where(deployment.c.id == ending.id)
    connection.execute(statement.values(ended_at=func.now(), ended_why=why))


def _lock(connection: Connection) -> None:
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})


def _deployment(row: Row[Any]) -> Deployment:
    return Deployment(
        row.id,
        (row.source_language, row.target_language),
        row.model_version_id,
        row.role,
        row.percent,
        row.started_at,
        row.started_by,
        row.why,
        row.previous_id,
        row.ended_at,
        row.ended_why,
    )
