"""Writes down which segments are suspects before they run again, however long the database takes. Knows no device."""

import time
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar
from uuid import UUID

import structlog
from sqlalchemy import Engine

from ...errors import TransientError
from ...storage.attempts import begin_attempt, note_suspects

log = structlog.get_logger(__name__)

RETRY_SECONDS = 0.5
Answer = TypeVar("Answer")


class AttemptBook(Protocol):
    """Remembers suspects longer than a worker lives."""

    @property
    def database_answers(self) -> bool: ...

    def note(self, job_ids: Sequence[UUID], give_up: Callable[[], bool]) -> bool:
        """Write down suspects; blocks until that is certain, and returns False if given up before."""
        ...

    def begin(self, job_id: UUID, give_up: Callable[[], bool]) -> int | None:
        """Count an attempt alone and return which it is, from 1; None if given up before that is certain."""
        ...


class DatabaseAttemptBook:
    """See `AttemptBook`: a table in PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.database_answers = True

    def note(self, job_ids: Sequence[UUID], give_up: Callable[[], bool]) -> bool:
        """See `AttemptBook.note`."""

        def write() -> bool:
            note_suspects(self._engine, job_ids)
            return True

        return self._until_certain(write, give_up) is True

    def begin(self, job_id: UUID, give_up: Callable[[], bool]) -> int | None:
        """See `AttemptBook.begin`; an answer that was lost counts twice."""
        return self._until_certain(lambda: begin_attempt(self._engine, job_id), give_up)

    def _until_certain(self, write: Callable[[], Answer], give_up: Callable[[], bool]) -> Answer | None:
        while not give_up():
            try:
                answer = write()
            except TransientError as error:
                self.database_answers = False
                log.warning("attempts_not_written", error=str(error))
                time.sleep(RETRY_SECONDS)
            else:
                self.database_answers = True
                return answer
        return None


class MemoryAttemptBook:
    """See `AttemptBook`: forgets with the process. For devices inside of it, which take it down anyway."""

    database_answers = True

    def __init__(self) -> None:
        self.attempts: dict[UUID, int] = {}

    def note(self, job_ids: Sequence[UUID], give_up: Callable[[], bool]) -> bool:  # noqa: ARG002
        """See `AttemptBook.note`."""
        self.attempts |= {job_id: self.attempts.get(job_id, 0) for job_id in job_ids}
        return True

    def begin(self, job_id: UUID, give_up: Callable[[], bool]) -> int | None:  # noqa: ARG002
        """See `AttemptBook.begin`."""
        self.attempts[job_id] = self.attempts.get(job_id, 0) + 1
        return self.attempts[job_id]
