"""Which jobs were in the hands of a device that died, and how often each was tried alone. Knows no device.

Written before such a job runs again, so that it cannot take down one worker after the other: whoever gets it next
knows. A row leaves with the transaction that records the job (`settlement`), or by age.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, Engine

from .bulk import array_literal, uuid_text
from .errors import database_errors

# In the order of the ids, so that two workers wait for each other instead of deadlocking.
NOTE = """
INSERT INTO attempt (job_id, attempts) SELECT job_id, 0 FROM unnest(%s::uuid[]) AS suspect (job_id) ORDER BY job_id
ON CONFLICT (job_id) DO UPDATE SET updated_at = now()
"""
BEGIN = """
INSERT INTO attempt AS tried (job_id, attempts) VALUES (%s::uuid, 1)
ON CONFLICT (job_id) DO UPDATE SET attempts = tried.attempts + 1, updated_at = now() RETURNING attempts
"""
KNOWN = """
SELECT job_id, NULL::integer FROM translation WHERE job_id = ANY(%s::uuid[])
UNION ALL SELECT job_id, attempts FROM attempt WHERE job_id = ANY(%s::uuid[])
"""
FORGET_OLD = "DELETE FROM attempt WHERE updated_at < now() - make_interval(secs => %s)"


@dataclass(frozen=True, slots=True)
class KnownJobs:
    """Of some jobs: those with a row in the history, and of the suspects how often they were tried alone."""

    recorded: frozenset[UUID] = frozenset()
    attempts: Mapping[UUID, int] | None = None

    def attempts_of(self, job_id: UUID) -> int | None:
        """None for a job that is no suspect."""
        return (self.attempts or {}).get(job_id)


def known_jobs(engine: Engine, job_ids: Iterable[UUID]) -> KnownJobs:
    """Ask the history and the attempts about jobs, in one round trip; raises `TransientError`."""
    wanted = array_literal(job_ids, uuid_text)
    with _at_once(engine) as connection:
        rows = connection.exec_driver_sql(KNOWN, (wanted, wanted)).all()
    recorded = frozenset(job_id for job_id, attempts in rows if attempts is None)
    return KnownJobs(recorded, {job_id: attempts for job_id, attempts in rows if attempts is not None})


def note_suspects(engine: Engine, job_ids: Iterable[UUID]) -> None:
    """Write down jobs that will be tried again, not alone yet; raises `TransientError`."""
    with _at_once(engine) as connection:
        connection.exec_driver_sql(NOTE, (array_literal(job_ids, uuid_text),))


def begin_attempt(engine: Engine, job_id: UUID) -> int:
    """Count one more attempt of a job that will now run alone; returns which it is, from 1. Raises `TransientError`."""
    with _at_once(engine) as connection:
        attempts: int = connection.exec_driver_sql(BEGIN, (str(job_id),)).scalar_one()
    return attempts


def forget_old_attempts(engine: Engine, older_than_seconds: float) -> int:
    """Delete what nobody has touched for so long; returns how many rows that were."""
    with _at_once(engine) as connection:
        return connection.exec_driver_sql(FORGET_OLD, (older_than_seconds,)).rowcount


@contextmanager
def _at_once(engine: Engine) -> Iterator[Connection]:
    """A connection whose every statement is a transaction: the server ends it, however long we are held up.

    A worker that was frozen between its statement and the COMMIT kept the row of its job locked, and the one that took
    the job over waited for it without end.
    """
    with database_errors(engine), engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        yield connection
