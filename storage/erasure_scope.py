"""Whose texts an erasure means. Knows no table."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from ..errors import DragomanError


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose texts are meant; what is None does not narrow it. `containing` is found whatever its case.

    `since` and `before` bound the time at which a row was recorded: the first is meant too, the second is not.
    """

    client_id: str | None = None
    job_id: UUID | None = None
    containing: str | None = None
    since: datetime | None = None
    before: datetime | None = None

    def __post_init__(self) -> None:
        if (self.client_id, self.job_id, self.containing) == (None, None, None):
            raise ValueError("a scope names a client, a job or a text: nobody erases everything by mistake")
        if self.containing is not None and not self.containing.strip():
            raise DragomanError("the text to look for is empty: every row would hold it")
