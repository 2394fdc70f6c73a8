"""Reads corrections: one, its revisions, those that hold, those of some chains. Writes nothing."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Select, func, select, table
from sqlalchemy import column as named

from ..errors import DragomanError
from ..schemas.texts import character_fault
from .bulk import array_literal, bytea
from .tables import correction
from .text_cipher import TextCipher, opened
from .text_places import CORRECTION_TEXTS
from .words import normalised

LATEST = """
SELECT DISTINCT ON (chain) chain, id, revision, target_text, text_key FROM correction
WHERE chain = ANY(%s::bytea[]) ORDER BY chain, revision DESC
"""
SINCE = "SELECT number, id, chain, text_key FROM correction WHERE number >= %s ORDER BY number LIMIT %s"
# Rows that an export has in memory at once.
STREAMED_ROWS = 2_000


@dataclass(frozen=True, slots=True)
class KeptCorrection:
    """A row of the table as it was before it was encrypted; `target_text` None = it withdraws the one before."""

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
    text_key: str | None


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


def get_correction(
    connection: Connection, correction_id: UUID, cipher: TextCipher | None = None
) -> KeptCorrection | None:
    """The correction with this id, whether it holds or not."""
    rows = _kept(connection, select(correction).where(correction.c.id == correction_id), cipher)
    return next(rows, None)


def revisions(connection: Connection, of: KeptCorrection, cipher: TextCipher | None = None) -> list[KeptCorrection]:
    """All revisions of its chain, the first one first; the last one holds."""
    chain = select(correction).where(correction.c.chain == of.chain)
    return list(_kept(connection, chain.order_by(correction.c.revision), cipher))


def list_corrections(
    connection: Connection, filters: CorrectionFilter, limit: int, cipher: TextCipher | None = None
) -> list[KeptCorrection]:
    """Those that hold, the latest first; raises `DragomanError` for words that no text can hold."""
    statement = _holding(filters).order_by(_view.c.number.desc())
    if filters.containing is None:
        return list(_kept(connection, statement.limit(limit), cipher))
    return list(islice(_containing(connection, statement, filters.containing, cipher), limit))


def count_corrections(connection: Connection, filters: CorrectionFilter, cipher: TextCipher | None = None) -> int:
    """How many hold."""
    if filters.containing is None:
        return connection.execute(select(func.count()).select_from(_holding(filters).subquery())).scalar_one()
    return sum(1 for _ in stream_corrections(connection, filters, cipher))


def stream_corrections(
    connection: Connection, filters: CorrectionFilter, cipher: TextCipher | None = None
) -> Iterator[KeptCorrection]:
    """All that hold, in the order in which they were written, without having them in memory."""
    statement = _holding(filters).order_by(_view.c.number)
    if filters.containing is None:
        return _kept(connection.execution_options(yield_per=STREAMED_ROWS), statement, cipher)
    return _containing(connection, statement, filters.containing, cipher)


def latest_of(connection: Connection, chains: Iterable[bytes], cipher: TextCipher | None = None) -> dict[bytes, Latest]:
    """The last revision of each of these chains that exists."""
    wanted = array_literal(chains, bytea)
    if wanted == "{}":
        return {}
    rows = connection.exec_driver_sql(LATEST, (wanted,))
    found = {}
    for chain, id_, revision, target, key in rows:
        one = UUID(str(id_))
        found[bytes(chain)] = Latest(one, revision, opened(cipher, key, one, {"target_text": target})["target_text"])
    return found


def written_since(connection: Connection, number: int, limit: int) -> list[Numbered]:
    """The first corrections from this number on, in their order."""
    rows = connection.exec_driver_sql(SINCE, (number, limit))
    return [Numbered(number, UUID(str(id_)), bytes(chain), key) for number, id_, chain, key in rows]


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
        # What an encrypted text holds is seen when it is decrypted.
        statement = statement.where(found[0] | found[1] | _view.c.text_key.is_not(None))
    return statement


def _refuse_unstorable(filters: CorrectionFilter) -> None:
    for value in (filters.client_id, filters.containing):
        fault = value and character_fault("what is searched for", value)
        if fault:
            raise DragomanError(fault[1])


def _kept(connection: Connection, statement: Select[Any], cipher: TextCipher | None) -> Iterator[KeptCorrection]:
    for row in connection.execute(statement).mappings():
        yield _opened(row, cipher)


def _containing(
    connection: Connection, statement: Select[Any], wanted: str, cipher: TextCipher | None
) -> Iterator[KeptCorrection]:
    """Rows that hold the text: plain ones were chosen by the database, encrypted ones are read."""
    with connection.execute(statement, execution_options={"yield_per": STREAMED_ROWS}) as rows:
        for row in rows.mappings():
            one = _opened(row, cipher)
            if row["text_key"] is None or normalised(wanted) in normalised(f"{one.source_text}\0{one.target_text}"):
                yield one


def _opened(row: Mapping[Any, Any], cipher: TextCipher | None) -> KeptCorrection:
    values = {name: value for name, value in row.items() if name != "text_key"}
    texts = {name: values[name] for name in CORRECTION_TEXTS}
    return KeptCorrection(**values | dict(opened(cipher, row["text_key"], row["id"], texts)))
