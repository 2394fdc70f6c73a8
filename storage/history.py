"""Questions an analyst asks of the history. Knows how to read; writes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, and_, func, select, text

from .records import NOTHING, AnsweredBy, HistoryRow, Status
from .search import matches
from .tables import translation
from .text_cipher import TextCipher
from .usage import STEP


@dataclass(frozen=True, slots=True)
class RecordedRow:
    """A row as the history holds it."""

    row: HistoryRow
    recorded_at: datetime
    erased_at: datetime | None = None

    def columns(self) -> dict[str, Any]:
        """Its values by the names of the columns."""
        return {"recorded_at": self.recorded_at, "erased_at": self.erased_at, **self.row._asdict()}


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryFilter:
    """Which rows are meant; None = whatever."""

    client_id: str | None = None
    source_language: str | None = None
    target_language: str | None = None
    status: Status | None = None
    lane: str | None = None
    model_version_id: str | None = None
    answered_by: AnsweredBy | None = None
    # Recorded at this moment or later, and before that one.
    since: datetime | None = None
    until: datetime | None = None

    def condition(self) -> ColumnElement[bool]:
        """What holds of the rows of `translation` that are meant."""
        columns = translation.c
        equal = {
            columns.client_id: self.client_id,
            columns.source_language: self.source_language,
            columns.target_language: self.target_language,
            columns.status: self.status,
            columns.lane: self.lane,
            columns.model_version_id: self.model_version_id,
            columns.answered_by: self.answered_by,
        }
        wanted = [column == value for column, value in equal.items() if value is not None]
        if self.since is not None:
            wanted.append(columns.recorded_at >= self.since)
        if self.until is not None:
            wanted.append(columns.recorded_at < self.until)
        return and_(True, *wanted)


@dataclass(frozen=True, slots=True)
class PairCount:
    """How many rows a language pair has; None = unknown, of rejected messages."""

    source_language: str | None
    target_language: str | None
    rows: int


@dataclass(frozen=True, slots=True)
class HistoryStats:
    """The history in figures; times run from submission to recording; None = nothing to measure."""

    rows: int
    by_status: dict[str, int]
    by_pair: tuple[PairCount, ...]
    by_model_version: dict[str, int]
    p50_seconds: float | None
    p95_seconds: float | None
    source_pieces: int
    target_pieces: int
    batches: int
    padding_ratio: float | None


ANY = HistoryFilter()
# The views are those of the migrations.
TOTALS = """
SELECT coalesce(sum(rows), 0)::bigint AS rows, coalesce(sum(source_pieces), 0)::bigint AS source_pieces,
  coalesce(sum(target_pieces), 0)::bigint AS target_pieces
FROM usage_by_day
"""
PERCENTILES = f"""
SELECT (min(power({STEP}, latency_step) / 1000) FILTER (WHERE reached >= 0.5 * total))::double precision,
  (min(power({STEP}, latency_step) / 1000) FILTER (WHERE reached >= 0.95 * total))::double precision
FROM (
  SELECT latency_step, sum(sum(rows)) OVER (ORDER BY latency_step) AS reached, sum(sum(rows)) OVER () AS total
  FROM latency_by_day GROUP BY latency_step
) AS steps
"""  # noqa: S608 - our own words
PADDING = """
SELECT coalesce(sum(batches), 0)::bigint,
  1 - sum(source_pieces)::double precision / nullif(sum(padded_pieces), 0)::double precision
FROM batch_usage_by_hour
"""
PAIRS = """
SELECT nullif(source_language, ''), nullif(target_language, ''), sum(rows)::bigint
FROM usage_by_day GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2
"""


def tail(
    connection: Connection, limit: int, filters: HistoryFilter = ANY, cipher: TextCipher | None = None
) -> list[RecordedRow]:
    """The last rows, oldest of them first; texts whose key `cipher` has not are None."""
    latest = _select(filters).order_by(translation.c.recorded_at.desc(), translation.c.job_id.desc()).limit(limit)
    return _rows(connection, latest, cipher)[::-1]


def search(
    connection: Connection, words: Sequence[str], filters: HistoryFilter = ANY, limit: int = 20
) -> list[RecordedRow]:
    """The latest rows that hold every word, whatever its case, in the source or the target; latest first.

    Words are taken as they are: % and _ mean themselves. Raises `DragomanError` for a word no text can hold.
    """
    return [_recorded(row) for row in islice(matches(connection, words, _select(filters)), limit)]


def get(connection: Connection, job_id: UUID, cipher: TextCipher | None = None) -> RecordedRow | None:
    """The row of a job; None when it is not finished or unknown. Texts whose key `cipher` has not are None."""
    rows = _rows(connection, _select(ANY).where(translation.c.job_id == job_id), cipher)
    return rows[0] if rows else None


def count(connection: Connection, filters: HistoryFilter = ANY) -> int:
    """How many rows there are."""
    return connection.execute(select(func.count()).select_from(translation).where(filters.condition())).scalar_one()


def stats(connection: Connection) -> HistoryStats:
    """Count and measure the whole history, from the sums by the hour and the rows since: percentiles within 5 %."""
    totals = connection.execute(text(TOTALS)).one()
    p50_seconds, p95_seconds = connection.execute(text(PERCENTILES)).one()
    batches, padding_ratio = connection.execute(text(PADDING)).one()
    return HistoryStats(
        rows=totals.rows,
        by_status=_counts(connection, "status"),
        by_pair=_pairs(connection),
        by_model_version=_counts(connection, "model_version_id"),
        p50_seconds=p50_seconds,
        p95_seconds=p95_seconds,
        source_pieces=totals.source_pieces,
        target_pieces=totals.target_pieces,
        batches=batches,
        padding_ratio=padding_ratio,
    )


def _select(filters: HistoryFilter) -> Select[Any]:
    return select(translation).where(filters.condition())


def _rows(connection: Connection, statement: Select[Any], cipher: TextCipher | None) -> list[RecordedRow]:
    return [_recorded(row, cipher) for row in connection.execute(statement).mappings()]


def _recorded(mapping: RowMapping, cipher: TextCipher | None = None) -> RecordedRow:
    columns = dict(mapping)
    recorded_at, erased_at = columns.pop("recorded_at"), columns.pop("erased_at")
    return RecordedRow(_readable(HistoryRow(**columns), cipher), recorded_at, erased_at)


def _readable(row: HistoryRow, cipher: TextCipher | None) -> HistoryRow:
    if row.text_key is None:
        return row
    if cipher is None or not cipher.knows(row.text_key):
        return row._replace(source_text=None, target_text=None, detail=None, metadata=NOTHING)
    return cipher.open_row(row)


def _counts(connection: Connection, column: Literal["status", "model_version_id"]) -> dict[str, int]:
    grouped = text(
        f"SELECT {column}, sum(rows)::bigint FROM usage_by_day WHERE {column} <> '' GROUP BY 1 ORDER BY 2 DESC, 1"  # noqa: S608
    )
    return dict(connection.execute(grouped).all())


def _pairs(connection: Connection) -> tuple[PairCount, ...]:
    return tuple(PairCount(*row) for row in connection.execute(text(PAIRS)))
