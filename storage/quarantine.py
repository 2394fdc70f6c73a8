"""Offsets nobody will translate: unreadable batches, and gaps where Kafka's retention overtook us."""

from dataclasses import asdict, dataclass

from sqlalchemy import Connection, func
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
    """Write the range down; doing so twice is harmless, and a range that has grown meanwhile gets its new end."""
    row = insert(quarantine).values(asdict(skipped))
    grown = func.greatest(quarantine.c.last_offset, row.excluded.last_offset)
    key = [column.name for column in quarantine.primary_key]
    connection.execute(row.on_conflict_do_update(index_elements=key, set_={"last_offset": grown}))
