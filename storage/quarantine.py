"""Offsets nobody will translate: unreadable batches, and gaps where Kafka's retention overtook us."""

from dataclasses import asdict, dataclass

from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import insert

from .tables import quarantine


@dataclass(frozen=True, slots=True)
class QuarantinedRange:
    """Messages of one partition that were skipped, first and last included, and why."""

    topic: str
    partition: int
    first_offset: int
    last_offset: int
    reason: str
    detail: str | None = None


def record_quarantine(connection: Connection, skipped: QuarantinedRange) -> None:
    """Write the range down; doing so twice is harmless."""
    connection.execute(insert(quarantine).values(asdict(skipped)).on_conflict_do_nothing())
