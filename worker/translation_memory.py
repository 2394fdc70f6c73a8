"""What is asked before the model: translations that people have confirmed. Knows no database."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from ..schemas.jobs import TranslationJob
from ..storage.correction_queries import Numbered


@dataclass(frozen=True, slots=True)
class Found:
    """A translation for a job, and the correction that it comes from."""

    text: str
    correction_id: UUID


class TranslationMemory(Protocol):
    """Looks up the translations of many jobs at once; may wait for a database, and raises `TransientError` then."""

    def find(self, jobs: Sequence[TranslationJob], newest: Numbered | None, /) -> Sequence[Found | None]:
        """What is known for each of these jobs, in their order.

        `newest` is the correction that the database has just named, None = it has none: a memory that has read it need
        not ask again.
        """
        ...


class EmptyMemory:
    """Knows nothing."""

    def find(self, jobs: Sequence[TranslationJob], _: Numbered | None, /) -> Sequence[Found | None]:
        """Nothing for each."""
        return [None] * len(jobs)
