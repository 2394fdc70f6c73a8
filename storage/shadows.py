"""What shadows made of jobs that another version answered. Knows rows; translates nothing."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import insert

from .tables import shadow_translation


@dataclass(frozen=True, slots=True)
class ShadowTranslation:
    """A shadow's translation of a job."""

    job_id: UUID
    model_version_id: str
    target_text: str
    score: float
    target_pieces: int


def record_shadows(connection: Connection, rows: Sequence[ShadowTranslation]) -> None:
    """Write rows; one that is there already stays."""
    if rows:
        connection.execute(insert(shadow_translation).on_conflict_do_nothing(), [asdict(row) for row in rows])
