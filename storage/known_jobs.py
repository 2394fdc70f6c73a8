"""What the database knows before jobs are admitted, in one round trip: interactive jobs wait for it. Writes nothing."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Engine

from .bulk import array_literal, uuid_text
from .correction_queries import Numbered
from .engine import at_once

KNOWN = """
SELECT job_id, NULL::integer, NULL::bigint, NULL::bytea, NULL::text FROM translation WHERE job_id = ANY(%s::uuid[])
UNION ALL SELECT job_id, attempts, NULL, NULL, NULL FROM attempt WHERE job_id = ANY(%s::uuid[])
UNION ALL (SELECT id, NULL, number, chain, text_key FROM correction ORDER BY number DESC LIMIT 1)
"""


@dataclass(frozen=True, slots=True)
class KnownJobs:
    """Of some jobs: those with a row in the history, and of the suspects how often they were tried alone.

    And the correction that was written last, None when there is none: the translation memory may have read it already.
    """

    recorded: frozenset[UUID] = frozenset()
    attempts: Mapping[UUID, int] | None = None
    newest_correction: Numbered | None = None

    def attempts_of(self, job_id: UUID) -> int | None:
        """None for a job that is no suspect."""
        return (self.attempts or {}).get(job_id)


def known_jobs(engine: Engine, job_ids: Iterable[UUID]) -> KnownJobs:
    """Ask what the database knows; raises `TransientError`."""
    wanted = array_literal(job_ids, uuid_text)
    recorded, attempts, newest = set(), {}, None
    with at_once(engine) as connection:
        for id_, tried, number, chain, key in connection.exec_driver_sql(KNOWN, (wanted, wanted)):
            if number is not None:
                newest = Numbered(number, UUID(str(id_)), bytes(chain), key)
            elif tried is not None:
                attempts[id_] = tried
            else:
                recorded.add(id_)
    return KnownJobs(frozenset(recorded), attempts, newest)
