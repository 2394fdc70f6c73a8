"""The values one settlement writes: history rows, outbox events, batches, progress. Knows no SQL.

Texts must be storable: no NUL character, no half of a surrogate pair. Keep `client_id` and the language tags
short (at most 200 characters): they are indexed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal, NamedTuple
from uuid import UUID

from .quarantine import QuarantinedRange

Status = Literal["translated", "rejected", "failed"]
# twin = another job of the same text that was under way.
AnsweredBy = Literal["model", "twin", "cache", "memory"]
# (topic, partition)
Partition = tuple[str, int]


NOTHING: Mapping[str, Any] = MappingProxyType({})


class HistoryRow(NamedTuple):
    """The final word on one job; what an undecodable message does not tell is None.

    A tuple, because every job makes one: a frozen dataclass of so many fields takes four times as long.
    """

    job_id: UUID
    client_id: str | None
    lane: str | None
    source_language: str | None
    target_language: str | None
    source_text: str | None
    status: Status
    submitted_at: datetime
    admitted_at: datetime
    kafka_topic: str
    kafka_partition: int
    kafka_offset: int
    lease_epoch: int
    worker_id: str
    target_text: str | None = None
    reason: str | None = None
    detail: str | None = None
    score: float | None = None
    model_version_id: str | None = None
    source_pieces: int | None = None
    target_pieces: int | None = None
    options: Mapping[str, Any] = NOTHING
    metadata: Mapping[str, Any] = NOTHING
    attempt: int = 1
    started_at: datetime | None = None
    batch_id: UUID | None = None
    answered_by: AnsweredBy | None = None
    correction_id: UUID | None = None
    # Its texts are not here, and its events are in Kafka already.
    no_trace: bool = False
    # With which key the texts are encrypted; None = they are not.
    text_key: str | None = None

    @property
    def partition(self) -> Partition:
        """Where the job was read from."""
        return (self.kafka_topic, self.kafka_partition)


class OutboxEvent(NamedTuple):
    """One message for Kafka that belongs to a job. Give the same job and topic the same `event_id` always."""

    event_id: UUID
    job_id: UUID
    topic: str
    key: bytes | None
    headers: tuple[tuple[str, str], ...]
    payload: bytes
    text_key: str | None = None


class BatchRow(NamedTuple):
    """What one pass of the model cost; `padded_pieces` counts every source slot, padding too."""

    id: UUID
    model_version_id: str
    rows: int
    source_pieces: int
    padded_pieces: int
    target_pieces: int
    decode_seconds: float
    device: str
    worker_id: str


@dataclass(frozen=True, slots=True)
class PartitionProgress:
    """How far a partition is finished, under the epoch we hold: `next_offset` is the next message to read.

    `recorded_at` is when, by the database's clock, a transaction of ours last wrote this lease and certainly committed:
    the one that took it, or a settlement. A lease that was last written before is fenced: the database was set back.
    None = not known, nothing is fenced for it.
    """

    topic: str
    partition: int
    epoch: int
    next_offset: int
    recorded_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Settlement:
    """Everything one commit transaction writes; every row's partition needs an entry in `progress`.

    `events` are those of each row, in the rows' order: where a job has two rows only the first one's are written.
    """

    group_id: str
    rows: tuple[HistoryRow, ...]
    events: tuple[tuple[OutboxEvent, ...], ...]
    progress: tuple[PartitionProgress, ...]
    batches: tuple[BatchRow, ...] = ()
    quarantined: tuple[QuarantinedRange, ...] = ()

    def __post_init__(self) -> None:
        if len(self.events) != len(self.rows):
            raise ValueError(f"a settlement has events of {len(self.events)} rows and {len(self.rows)} rows")
        known = {(entry.topic, entry.partition) for entry in self.progress}
        if len(known) < len(self.progress):
            raise ValueError("a settlement names a partition twice in its progress")
        skipped = {(entry.topic, entry.partition) for entry in self.quarantined}
        if not skipped <= known or any(row.partition not in known for row in self.rows):
            raise ValueError("a settlement has a row of a partition without progress")


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a settlement.

    `recorded`: jobs whose row is new. `duplicates`: jobs with a row that was not, because the history had the job
    or the settlement named it twice (then the job can be in both). `fenced`: partitions that belong to another epoch
    by now. A job in neither set was dropped: read under an epoch that is over, it will be read again. `events`: what
    this settlement has put into the outbox. `recorded_at`: when, by the database's clock; None where it held no lease.
    """

    recorded: frozenset[UUID]
    duplicates: frozenset[UUID]
    fenced: frozenset[Partition]
    events: tuple[OutboxEvent, ...] = ()
    recorded_at: datetime | None = None
