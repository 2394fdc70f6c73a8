"""Questions an analyst asks of the history. Knows how to read; writes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Select, and_, func, or_, select

from ..errors import DragomanError
from .records import HistoryRow, Status
from .tables import batch, translation


@dataclass(frozen=True, slots=True)
class RecordedRow:
    """A row as the history holds it."""

    row: HistoryRow
    recorded_at: datetime

    def columns(self) -> dict[str, Any]:
        """Its values by the names of the columns."""
        return {"recorded_at": self.recorded_at, **self.row._asdict()}


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryFilter:
    """Which rows are meant; None = whatever."""

    client_id: str | None = None
    source_language: str | None = None
    target_language: str | None = None
    status: Status | None = None


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


def tail(connection: Connection, limit: int, filters: HistoryFilter = ANY) -> list[RecordedRow]:
    """The last rows, oldest of them first."""
    latest = _select(filters).order_by(translation.c.recorded_at.desc(), translation.c.job_id.desc()).limit(limit)
    return _rows(connection, latest)[::-1]


def search(
    connection: Connection, words: Sequence[str], filters: HistoryFilter = ANY, limit: int = 20
) -> list[RecordedRow]:
    """The latest rows that hold every word, whatever its case, in the source or the target; latest first.

    Words are taken as they are: % and _ mean themselves. Raises `DragomanError` for a word no text can hold.
    """
    found = _select(filters).where(*(_holds(word) for word in words))
    return _rows(connection, found.order_by(translation.c.recorded_at.desc()).limit(limit))


def get(connection: Connection, job_id: UUID) -> RecordedRow | None:
    """The row of a job; None when it is not finished or unknown."""
    rows = _rows(connection, _select(ANY).where(translation.c.job_id == job_id))
    return rows[0] if rows else None


def count(connection: Connection, filters: HistoryFilter = ANY) -> int:
    """How many rows there are."""
    return connection.execute(select(func.count()).select_from(translation).where(_matches(filters))).scalar_one()


def stats(connection: Connection) -> HistoryStats:
    """Count and measure the whole history; reads every row."""
    rows, p50, p95, source_pieces, target_pieces = connection.execute(_totals()).one()
    batches, padding_ratio = connection.execute(_padding()).one()
    return HistoryStats(
        rows=rows,
        by_status=_counts(connection, translation.c.status),
        by_pair=_pairs(connection),
        by_model_version=_counts(connection, translation.c.model_version_id),
        p50_seconds=p50,
        p95_seconds=p95,
        source_pieces=source_pieces,
        target_pieces=target_pieces,
        batches=batches,
        padding_ratio=padding_ratio,
    )


def _select(filters: HistoryFilter) -> Select[*tuple[object, ...]]:
    return select(translation).where(_matches(filters))


def _rows(connection: Connection, statement: Select[*tuple[object, ...]]) -> list[RecordedRow]:
    found = (dict(row) for row in connection.execute(statement).mappings())
    return [RecordedRow(recorded_at=columns.pop("recorded_at"), row=HistoryRow(**columns)) for columns in found]


def _matches(filters: HistoryFilter) -> ColumnElement[bool]:
    wanted = {
        translation.c.client_id: filters.client_id,
        translation.c.source_language: filters.source_language,
        translation.c.target_language: filters.target_language,
        translation.c.status: filters.status,
    }
    return and_(True, *(column == value for column, value in wanted.items() if value is not None))


def _holds(word: str) -> ColumnElement[bool]:
    if "\0" in word or any("\ud800" <= character <= "\udfff" for character in word):
        raise DragomanError("a search word holds a NUL character or is not UTF-8: no stored text can hold it")
    escaped = word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return or_(*(text.ilike(f"%{escaped}%") for text in (translation.c.source_text, translation.c.target_text)))


def _totals() -> Select[int, float | None, float | None, int, int]:
    seconds = func.extract("epoch", translation.c.recorded_at - translation.c.submitted_at)
    return select(
        func.count(),
        func.percentile_cont(0.5).within_group(seconds),
        func.percentile_cont(0.95).within_group(seconds),
        func.coalesce(func.sum(translation.c.source_pieces), 0),
        func.coalesce(func.sum(translation.c.target_pieces), 0),
    ).select_from(translation)


def _padding() -> Select[*tuple[Any, ...]]:
    padded = func.nullif(func.sum(batch.c.padded_pieces), 0)
    padding = func.sum(batch.c.padded_pieces) - func.sum(batch.c.source_pieces)
    return select(func.count(), func.cast(padding, batch.c.padding_ratio.type) / padded).select_from(batch)


def _counts(connection: Connection, column: ColumnElement[str]) -> dict[str, int]:
    grouped = select(column, func.count()).where(column.is_not(None)).group_by(column).order_by(func.count().desc())
    return dict(connection.execute(grouped).all())


def _pairs(connection: Connection) -> tuple[PairCount, ...]:
    pair = (translation.c.source_language, translation.c.target_language)
    grouped = select(*pair, func.count()).group_by(*pair).order_by(func.count().desc(), *pair)
    return tuple(PairCount(*row) for row in connection.execute(grouped))
