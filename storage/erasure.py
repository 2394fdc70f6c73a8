"""Removes texts from the database, wherever they lie. The rows stay: they count, and a job known is not done again.

Works in batches, a transaction each: interrupted, it is simply called again, for what is erased is not looked at
twice. Which rows hold a text is decided here and not in SQL, so that no statement and no log of the server ever
quotes it. Workers see by a watermark that they must forget what they keep in memory (`worker/privacy_watch.py`).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, text

from .bulk import array_literal
from .engine import transaction
from .erasure_elsewhere import SHADOWS, erase_elsewhere, found_elsewhere
from .erasure_scope import Scope
from .outbox_texts import drop_events_containing
from .search_index import drop_documents, lock_documents
from .text_cipher import TextCipher, opened
from .text_places import TEXT_PLACES, TextPlace
from .words import normalised

# The watermark that moves whenever texts are removed.
ERASED = "texts_erased"
BATCH_ROWS = 1_000
# A relay holds events for up to 15 seconds while it waits for Kafka.
LOCK_TIMEOUT = "SET LOCAL lock_timeout = '30s'"
NOTE = """
INSERT INTO watermark (name, until) VALUES (:name, clock_timestamp())
ON CONFLICT (name) DO UPDATE SET until = excluded.until
"""
DROP_EVENTS = "DELETE FROM outbox WHERE job_id = ANY(%s::uuid[])"


@dataclass(frozen=True, slots=True)
class Progress:
    """So many rows of a table were looked at and meant, in one batch; `earliest`: the first of these was made then."""

    table: str
    looked_at: int
    meant: int
    earliest: datetime | None


def find(engine: Engine, scope: Scope, cipher: TextCipher | None = None) -> Iterator[Progress]:
    """Count what `erase` would remove, a batch at a time."""
    for elsewhere in found_elsewhere(engine, scope, cipher):
        yield Progress(elsewhere.place.table, elsewhere.looked_at, len(elsewhere.keys), elsewhere.earliest)
    for place in TEXT_PLACES:
        for rows, meant in _batches(engine, place, scope, cipher):
            yield _progress(place, rows, meant)


def erase(engine: Engine, scope: Scope, cipher: TextCipher | None = None) -> Iterator[Progress]:
    """Remove the texts, a batch at a time: what was reported is done. Raises `TransientError`: call it again.

    Rows that are recorded meanwhile may be passed over. Raises `DragomanError` where a text is looked for in encrypted
    ones and `cipher` has not their key.
    """
    for elsewhere in found_elsewhere(engine, scope, cipher):
        erased = erase_elsewhere(engine, elsewhere)
        yield Progress(elsewhere.place.table, elsewhere.looked_at, erased, elsewhere.earliest)
    for place in TEXT_PLACES:
        for rows, meant in _batches(engine, place, scope, cipher):
            if meant:
                with transaction(engine) as connection:
                    _empty(connection, place, meant)
            yield _progress(place, rows, meant)
    if scope.containing is not None and scope.job_id is None:
        with transaction(engine) as connection:
            drop_events_containing(connection, scope.containing, scope.client_id, cipher)


def _batches(
    engine: Engine, place: TextPlace, scope: Scope, cipher: TextCipher | None
) -> Iterator[tuple[Sequence[Row[Any]], Sequence[Row[Any]]]]:
    """Rows that may be meant, oldest first, and those of them that are."""
    statement, bounds = _statement(place, scope)
    wanted = None if scope.containing is None else normalised(scope.containing)
    rows: Sequence[Row[Any]] = ()
    while not rows or len(rows) == BATCH_ROWS:
        last_at, last_key = (rows[-1].at, rows[-1].key) if rows else (scope.since, None)
        with transaction(engine) as connection:
            rows = connection.execute(text(statement), {**bounds, "last_at": last_at, "last_key": last_key}).all()
        if not rows:
            return
        yield rows, [row for row in rows if wanted is None or _holds(_plain(place, row, cipher), wanted)]


def _statement(place: TextPlace, scope: Scope) -> tuple[str, dict[str, Any]]:
    """The query for the batch after `last_at` and `last_key`, and its bound values."""
    wanted = {
        "client_id = :client": scope.client_id,
        "job_id = :job": scope.job_id,
        f"{place.at} < :before": scope.before,
    }
    conditions = [condition for condition, value in wanted.items() if value is not None]
    looked_into = [f"{place.text_key or 'NULL'} AS text_key", *place.emptied]
    columns = ", ".join(looked_into) if scope.containing is not None else "NULL"
    statement = (
        f"SELECT {place.key} AS key, job_id, {place.at} AS at, {columns} FROM {place.table} "  # noqa: S608 - our own words
        f"WHERE {' AND '.join(['erased_at IS NULL', *conditions])} "
        f"AND {place.at} >= coalesce(CAST(:last_at AS timestamptz), '-infinity') "
        f"AND (CAST(:last_key AS uuid) IS NULL OR ({place.at}, {place.key}) > (:last_at, CAST(:last_key AS uuid))) "
        f"ORDER BY {place.at}, {place.key} LIMIT {BATCH_ROWS}"
    )
    return statement, {"client": scope.client_id, "job": scope.job_id, "before": scope.before}


def _plain(place: TextPlace, row: Row[Any], cipher: TextCipher | None) -> Iterable[Any]:
    values = {column: row._mapping[column] for column in place.emptied}
    return opened(cipher, row.text_key, row.key, values).values()


def _holds(values: Iterable[Any], wanted: str) -> bool:
    return any(wanted in normalised(held) for value in values for held in _texts(value))


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for entry in value.items():
            for part in entry:
                yield from _texts(part)


def _empty(connection: Connection, place: TextPlace, rows: Sequence[Row[Any]]) -> None:
    connection.exec_driver_sql(LOCK_TIMEOUT)
    lock_documents(connection)
    nothing = {**place.emptied, **({place.text_key: "NULL"} if place.text_key else {})}
    changes = ", ".join(f"{column} = {value}" for column, value in nothing.items())
    emptied = (
        f"UPDATE {place.table} SET {changes}, erased_at = now() "  # noqa: S608 - our own words
        f"WHERE {place.key} = ANY(%s::uuid[]) AND erased_at IS NULL"
    )
    connection.exec_driver_sql(emptied, (array_literal((row.key for row in rows), str),))
    jobs = [row.job_id for row in rows if row.job_id is not None]
    drop_documents(connection, jobs)
    for drop in (DROP_EVENTS, SHADOWS.drop):
        connection.exec_driver_sql(drop, (array_literal(jobs, str),))
    connection.execute(text(NOTE), {"name": ERASED})


def _progress(place: TextPlace, rows: Sequence[Row[Any]], meant: Sequence[Row[Any]]) -> Progress:
    return Progress(place.table, len(rows), len(meant), min((row.at for row in meant), default=None))
