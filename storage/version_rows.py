"""The latest rows of one version, as far as it is to be judged by them. Knows how to read; judges nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, case, func, select

from .models import Pair
from .tables import shadow_translation, translation


@dataclass(frozen=True, slots=True)
class Span:
    """A version of a pair, from `since` until `until` (None = now), `limit` rows at most, the latest."""

    pair: Pair
    model_version_id: str
    since: datetime
    until: datetime | None = None
    limit: int = 5_000


@dataclass(frozen=True, slots=True)
class VersionRow:
    """One job of a version; texts are None where there are none, `seconds` from the pass's start to the recording."""

    status: str
    source_text: str | None
    target_text: str | None
    score: float | None
    seconds: float | None


def recent_rows(connection: Connection, span: Span) -> Sequence[VersionRow]:
    """What the model itself answered, failed on or refused; not what was recalled of it."""
    table = translation.c
    seconds = func.extract("epoch", table.recorded_at - table.started_at)
    statement = select(table.status, _plain(table.source_text), _plain(table.target_text), table.score, seconds).where(
        table.source_language == span.pair[0],
        table.target_language == span.pair[1],
        table.model_version_id == span.model_version_id,
        table.recorded_at >= span.since,
        func.coalesce(table.answered_by, "model") == "model",
    )
    if span.until is not None:
        statement = statement.where(table.recorded_at < span.until)
    found = connection.execute(statement.order_by(table.recorded_at.desc()).limit(span.limit))
    return [VersionRow(row[0], row[1], row[2], row[3], None if row[4] is None else float(row[4])) for row in found]


def shadow_rows(connection: Connection, span: Span) -> Sequence[VersionRow]:
    """What a shadow made of jobs, whoever answered them; without seconds, for nobody waited."""
    table, shadow = translation.c, shadow_translation.c
    statement = (
        select(_plain(table.source_text), shadow.target_text, shadow.score)
        .join(translation, table.job_id == shadow.job_id)
        .where(
            shadow.model_version_id == span.model_version_id,
            shadow.recorded_at >= span.since,
            table.source_language == span.pair[0],
            table.target_language == span.pair[1],
        )
        .order_by(shadow.recorded_at.desc())
        .limit(span.limit)
    )
    found = connection.execute(statement)
    return [VersionRow("translated", source, target, score, None) for source, target, score in found]


def _plain(text: ColumnElement[str]) -> ColumnElement[str | None]:
    """The text of a row, NULL where it is encrypted: nothing can be said of that here."""
    return case((translation.c.text_key.is_(None), text))
