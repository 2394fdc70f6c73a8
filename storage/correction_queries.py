"""Reads corrections: one, its revisions, those that hold, those of some chains. Writes nothing."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Select, func, select, table
from sqlalchemy import column as named

from ..errors import DragomanError
from ..schemas.texts import character_fault
from .bulk import array_literal, bytea
from .tables import correction

LATEST = """
SELECT DISTINCT ON (chain) chain, id, revision, target_text FROM correction
WHERE chain = ANY(%s::bytea[]) ORDER BY chain, revision DESC
"""
SINCE = "SELECT number, id, chain FROM correction WHERE number >= %s ORDER BY number LIMIT %s"
# Rows that an export has in memory at once.
STREAMED_ROWS = 2_000


@dataclass(frozen=True, slots=True)
class KeptCorrection:
    """A row of the table; `target_text` None = it withdraws the one before."""

    number: int
    id: UUID
    chain: bytes
    revision: int
    supersedes: UUID | None
    job_id: UUID | None
    client_id: str | None
    source_language: str
    target_language: str
    source_text: str
    target_text: str | None
    author: str
    reason: str | None
    origin: str
    created_at: datetime


class Latest(NamedTuple):
    """The last revision of a chain; `target_text` None = it is withdrawn."""

    id: UUID
    revision: int
    target_text: str | None


class Numbered(NamedTuple):
    """A correction as those see it who follow what is written."""

    number: int
    id: UUID
    chain: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectionFilter:
    """Which of the corrections that hold are meant; None = whatever.

    `containing` is looked for in source and target, whatever its case; % and _ mean themselves.
    """

    client_id: str | None = None
    source_language: str | None = None
    target_language: str | None = None
    containing: str | None = None
    for_all_clients: bool = False


_view = table("current_correction", *(named(column.name, column.type) for column in correction.columns))


def get_correction(connection: Connection, correction_id: UUID) -> KeptCorrection | None:
    """The correction with this id, whether it holds or not."""
    rows = _kept(connection, select(correction).where(correction.c.id == correction_id))
    return next(rows, None)


def revisions(connection: Connection, of: KeptCorrection) -> list[KeptCorrection]:
    """All revisions of its chain, the first one first; the last one holds."""
    chain = select(correction).where(correction.c.chain == of.chain)
    return list(_kept(connection, chain.order_by(correction.c.revision)))


def list_corrections(connection: Connection, filters: CorrectionFilter, limit: int) -> list[KeptCorrection]:
    """Those that hold, the latest first; raises `DragomanError` for words that no text can hold."""
    return list(_kept(connection, _holding(filters).order_by(_view.c.number.desc()).limit(limit)))


def count_corrections(connection: Connection, filters: CorrectionFilter) -> int:
    """How many hold."""
    return connection.execute(select(func.count()).select_from(_holding(filters).subquery())).scalar_one()


def stream_corrections(connection: Connection, filters: CorrectionFilter) -> Iterator[KeptCorrection]:
    """All that hold, in the order in which they were written, without having them in memory."""
    streaming = connection.execution_options(yield_per=STREAMED_ROWS)
    return _kept(streaming, _holding(filters).order_by(_view.c.number))


def latest_of(connection: Connection, chains: Iterable[bytes]) -> dict[bytes, Latest]:
    """The last revision of each of these chains that exists."""
    wanted = array_literal(chains, bytea)
    if wanted == "{}":
        return {}
    rows = connection.exec_driver_sql(LATEST, (wanted,))
    return {bytes(chain): Latest(UUID(str(id_)), revision, target) for chain, id_, revision, target in rows}


def written_since(connection: Connection, number: int, limit: int) -> list[Numbered]:
    """The first corrections from this number on, in their order."""
    rows = connection.exec_driver_sql(SINCE, (number, limit))
    return [Numbered(number, UUID(str(id_)), bytes(chain)) for number, id_, chain in rows]


def _holding(filters: CorrectionFilter) -> Select[Any]:
    _refuse_unstorable(filters)
    statement = select(_view)
    equal = {
        _view.c.client_id: filters.client_id,
        _view.c.source_language: filters.source_language,
        _view.c.target_language: filters.target_language,
    }
    for column, value in equal.items():
        if value is not None:
            statement = statement.where(column == value)
    if filters.for_all_clients:
        statement = statement.where(_view.c.client_id.is_(None))
    if filters.containing is not None:
        found = [c.icontains(filters.containing, autoescape=True) for c in (_view.c.source_text, _view.c.target_text)]
        statement = statement.where(found[0] | found[1])
    return statement


def _refuse_unstorable(filters: CorrectionFilter) -> None:
    for value in (filters.client_id, filters.containing):
        fault = value and character_fault("what is searched for", value)
        if fault:
            raise DragomanError(fault[1])


def _kept(connection: Connection, statement: Select[Any]) -> Iterator[KeptCorrection]:
    for row in connection.execute(statement).mappings():
        yield KeptCorrection(**row)
