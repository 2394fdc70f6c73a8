"""Ends a canary and takes a promotion back when they do harm. Reads the history; asks for nothing to be translated."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy import Connection, Engine

from ...storage.deployments import Deployment, Reason, end_beside, find, find_open, open_deployments, roll_back
from ...storage.engine import transaction
from ...storage.version_rows import Span, recent_rows
from .figures import figures, harm

log = structlog.get_logger(__name__)

# A promotion is watched for so long; what it is compared with is as much of the version before it.
WATCHED = timedelta(days=1)
WATCHER = "dragoman models watch"


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A version that was taken back, and why."""

    deployment: Deployment
    why: str


def watch(engine: Engine) -> list[Withdrawal]:
    """Look at every canary and every young promotion once; returns those that were taken back.

    Raises `TransientError` when the database is away.
    """
    with transaction(engine) as connection:
        watched = [one for one in open_deployments(connection) if one.role != "shadow"]
    return [found for one in watched if (found := _withdrawn(engine, one)) is not None]


def _withdrawn(engine: Engine, watched: Deployment) -> Withdrawal | None:
    with transaction(engine) as connection:
        why = _harm(connection, watched)
        if why is None or not _is_open(connection, watched):
            return None
        if watched.role == "canary":
            end_beside(connection, watched.pair, "canary", why)
        else:
            roll_back(connection, watched.pair, Reason(WATCHER, why))
    log.error("deployment_withdrawn", model=watched.model_version_id, role=watched.role, why=why)
    return Withdrawal(watched, why)


def _is_open(connection: Connection, watched: Deployment) -> bool:
    now = find_open(connection, watched.pair, watched.role)
    return now is not None and now.id == watched.id


def _harm(connection: Connection, watched: Deployment) -> str | None:
    reference = _reference(connection, watched)
    if reference is None or watched.started_at < datetime.now(UTC) - WATCHED:
        return None
    own = Span(watched.pair, watched.model_version_id, watched.started_at)
    return harm(figures(recent_rows(connection, reference)), figures(recent_rows(connection, own)))


def _reference(connection: Connection, watched: Deployment) -> Span | None:
    """What a version is compared with: production beside a canary, the version before after a promotion."""
    if watched.role == "canary":
        production = find_open(connection, watched.pair, "production")
        if production is None:
            return None
        return Span(watched.pair, production.model_version_id, max(watched.started_at, production.started_at))
    if watched.previous_id is None:
        return None
    before = find(connection, watched.previous_id)
    since = watched.started_at - WATCHED
    return Span(watched.pair, before.model_version_id, since, watched.started_at)
