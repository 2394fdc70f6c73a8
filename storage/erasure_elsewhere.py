"""Removes texts from tables whose rows go with their text: corrections, and what shadows wrote.

A correction goes as a whole chain, or the revision before would hold again.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import Engine, text

from .bulk import array_literal, bytea
from .engine import transaction
from .words import normalised

if TYPE_CHECKING:
    from .erasure import Scope

FETCHED = 1_000
# Those for all clients too, where a job of the client gave rise to them.
CORRECTIONS = """
SELECT chain, created_at AS at, source_text, target_text, author, reason FROM correction
WHERE (CAST(:client AS text) IS NULL OR client_id = :client
  OR job_id IN (SELECT job_id FROM translation WHERE client_id = :client))
AND (CAST(:job AS uuid) IS NULL OR job_id = :job)
"""
SHADOWS = """
SELECT job_id, model_version_id, recorded_at AS at, target_text FROM shadow_translation
WHERE (CAST(:client AS text) IS NULL OR job_id IN (SELECT job_id FROM translation WHERE client_id = :client))
AND (CAST(:job AS uuid) IS NULL OR job_id = :job)
"""
DROP_CORRECTIONS = "DELETE FROM correction WHERE chain = ANY(%s::bytea[])"
DROP_SHADOWS = "DELETE FROM shadow_translation WHERE job_id = ANY(%s::uuid[])"


class Elsewhere(NamedTuple):
    """So many rows of a table were looked at; keys to delete those by that are meant, and when the first was made."""

    table: str
    looked_at: int
    keys: frozenset[object]
    earliest: datetime


def found_elsewhere(engine: Engine, scope: "Scope") -> Iterator[Elsewhere]:
    """What is meant in these tables, if anything is. Retention does not concern them: a scope with times means none."""
    if scope.since is not None or scope.before is not None:
        return
    wanted = None if scope.containing is None else normalised(scope.containing)
    for table, statement, texts in (
        ("correction", CORRECTIONS, ("source_text", "target_text", "author", "reason")),
        ("shadow_translation", SHADOWS, ("target_text",)),
    ):
        looked_at, keys, times = 0, set[object](), list[datetime]()
        with transaction(engine) as connection:
            rows = connection.execute(
                text(statement),
                {"client": scope.client_id, "job": scope.job_id},
                execution_options={"yield_per": FETCHED},
            )
            for row in rows.mappings():
                looked_at += 1
                if wanted is None or any(wanted in normalised(row[name]) for name in texts if row[name]):
                    key = row["chain" if table == "correction" else "job_id"]
                    keys.add(bytes(key) if isinstance(key, memoryview) else key)
                    times.append(row["at"])
        if keys:
            yield Elsewhere(table, looked_at, frozenset(keys), min(times))


def erase_elsewhere(engine: Engine, found: Elsewhere) -> int:
    """Delete what was found; returns how many rows that were."""
    of_corrections = found.table == "correction"
    statement = DROP_CORRECTIONS if of_corrections else DROP_SHADOWS
    keys = array_literal(found.keys, bytea if of_corrections else str)
    with transaction(engine) as connection:
        return int(connection.exec_driver_sql(statement, (keys,)).rowcount)
