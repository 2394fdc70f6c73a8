"""Which jobs were in the hands of a device that died, and how often each was tried alone. Knows no device.

Written before such a job runs again, so that it cannot take down one worker after the other: whoever gets it next
knows. A row leaves with the transaction that records the job (`settlement`), or by age.
"""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import Engine

from .bulk import array_literal, uuid_text
from .engine import at_once

# In the order of the ids, so that two workers wait for each other instead of deadlocking.
NOTE = """
INSERT INTO attempt (job_id, attempts) SELECT job_id, 0 FROM unnest(%s::uuid[]) AS suspect (job_id) ORDER BY job_id
ON CONFLICT (job_id) DO UPDATE SET updated_at = now()
"""
BEGIN = """
INSERT INTO attempt AS tried (job_id, attempts) VALUES (%s::uuid, 1)
ON CONFLICT (job_id) DO UPDATE SET attempts = tried.attempts + 1, updated_at = now() RETURNING attempts
"""
FORGET_OLD = "DELETE FROM attempt WHERE updated_at < now() - make_interval(secs => %s)"


def note_suspects(engine: Engine, job_ids: Iterable[UUID]) -> None:
    """Write down jobs that will be tried again, not alone yet; raises `TransientError`."""
    with at_once(engine) as connection:
        connection.exec_driver_sql(NOTE, (array_literal(job_ids, uuid_text),))


def begin_attempt(engine: Engine, job_id: UUID) -> int:
    """Count one more attempt of a job that will now run alone; returns which it is, from 1. Raises `TransientError`."""
    with at_once(engine) as connection:
        attempts: int = connection.exec_driver_sql(BEGIN, (str(job_id),)).scalar_one()
    return attempts


def forget_old_attempts(engine: Engine, older_than_seconds: float) -> int:
    """Delete what nobody has touched for so long; returns how many rows that were."""
    with at_once(engine) as connection:
        return connection.exec_driver_sql(FORGET_OLD, (older_than_seconds,)).rowcount
