"""Removes texts from tables whose rows go with their text: corrections, and what shadows wrote. One entry a table."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, RowMapping, text

from .bulk import array_literal, bytea
from .engine import transaction
from .erasure_scope import Scope
from .text_cipher import TextCipher, opened
from .text_places import CORRECTION_TEXTS
from .words import normalised

FETCHED = 1_000


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A table whose rows are deleted by their `key`, which several may share: then they go together.

    `rows` selects for `:client` and `:job`, each NULL for whatever, the columns `key`, `at` (when the row was made),
    and those of `texts`; where texts may be encrypted, also `row_id` and `text_key`. `written` makes an element of an
    array literal of a key, `drop` deletes by such an array.
    """

    table: str
    rows: str
    texts: tuple[str, ...]
    drop: str
    written: Callable[[Any], str] = str
    encrypted: tuple[str, ...] = ()


CORRECTIONS = Elsewhere(
    "correction",
    # Those for all clients too, where a job of the client gave rise to them.
    rows="""
SELECT chain AS key, created_at AS at, id AS row_id, text_key, source_text, target_text, author, reason FROM correction
WHERE (CAST(:client AS text) IS NULL OR client_id = :client
  OR job_id IN (SELECT job_id FROM translation WHERE client_id = :client))
AND (CAST(:job AS uuid) IS NULL OR job_id = :job)
""",
    texts=("source_text", "target_text", "author", "reason"),
    # A whole chain, or the revision before would hold again.
    drop="DELETE FROM correction WHERE chain = ANY(%s::bytea[])",
    written=bytea,
    encrypted=CORRECTION_TEXTS,
)
SHADOWS = Elsewhere(
    "shadow_translation",
    rows="""
SELECT job_id AS key, recorded_at AS at, target_text FROM shadow_translation
WHERE (CAST(:client AS text) IS NULL OR job_id IN (SELECT job_id FROM translation WHERE client_id = :client))
AND (CAST(:job AS uuid) IS NULL OR job_id = :job)
""",
    texts=("target_text",),
    drop="DELETE FROM shadow_translation WHERE job_id = ANY(%s::uuid[])",
)
PLACES = (CORRECTIONS, SHADOWS)


@dataclass(frozen=True, slots=True)
class Found:
    """So many rows of a place were looked at; keys of those that are meant, and when the first was made."""

    place: Elsewhere
    looked_at: int
    keys: frozenset[object]
    earliest: datetime


def found_elsewhere(engine: Engine, scope: Scope, cipher: TextCipher | None) -> Iterator[Found]:
    """What is meant in these tables, if anything is. Retention does not concern them: a scope with times means none.

    Raises `DragomanError` where a text is looked for in encrypted ones and `cipher` has not their key.
    """
    if scope.since is not None or scope.before is not None:
        return
    wanted = None if scope.containing is None else normalised(scope.containing)
    bounds = {"client": scope.client_id, "job": scope.job_id}
    for place in PLACES:
        looked_at, keys, times = 0, set[object](), list[datetime]()
        with transaction(engine) as connection:
            rows = connection.execute(text(place.rows), bounds, execution_options={"yield_per": FETCHED})
            for row in rows.mappings():
                looked_at += 1
                if wanted is None or _holds(place, row, wanted, cipher):
                    keys.add(bytes(row["key"]) if isinstance(row["key"], memoryview) else row["key"])
                    times.append(row["at"])
        if keys:
            yield Found(place, looked_at, frozenset(keys), min(times))


def erase_elsewhere(engine: Engine, found: Found) -> int:
    """Delete what was found; returns how many rows that were."""
    with transaction(engine) as connection:
        keys = array_literal(found.keys, found.place.written)
        return int(connection.exec_driver_sql(found.place.drop, (keys,)).rowcount)


def _holds(place: Elsewhere, row: RowMapping, wanted: str, cipher: TextCipher | None) -> bool:
    values = {name: row[name] for name in place.texts}
    if place.encrypted:
        sealed = {name: values[name] for name in place.encrypted}
        values |= opened(cipher, row["text_key"], row["row_id"], sealed)
    return any(wanted in normalised(value) for value in values.values() if value)
