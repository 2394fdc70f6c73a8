"""The right to write for a partition, and where to start reading it. Knows no Kafka client.

Every acquisition raises the epoch in the statement that reads `next_offset`, so whoever held the partition
before can write nothing that the new holder has not seen.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection

from .bulk import array_literal, quoted
from .records import Partition

ACQUIRE = """
INSERT INTO ingest_lease AS lease (group_id, topic, partition, epoch, owner, next_offset)
SELECT %s, topic, partition, 1, %s, seed
FROM unnest(%s::text[], %s::integer[], %s::bigint[]) AS wanted (topic, partition, seed)
ORDER BY topic, partition
ON CONFLICT (group_id, topic, partition) DO UPDATE SET epoch = lease.epoch + 1, owner = excluded.owner,
  next_offset = coalesce(lease.next_offset, excluded.next_offset), updated_at = now()
RETURNING topic, partition, epoch, next_offset
"""


@dataclass(frozen=True, slots=True)
class Lease:
    """A partition that is ours until somebody raises the epoch; `next_offset` None = nothing finished yet."""

    group_id: str
    topic: str
    partition: int
    epoch: int
    next_offset: int | None

    @property
    def key(self) -> Partition:
        """The partition as (topic, number)."""
        return (self.topic, self.partition)


@dataclass(frozen=True, slots=True)
class LeaseRequest:
    """Who wants which partitions; `seed_offsets` says where a partition without a known offset starts."""

    group_id: str
    owner: str
    partitions: tuple[Partition, ...]
    seed_offsets: Mapping[Partition, int] = field(default_factory=dict)


def acquire_leases(connection: Connection, request: LeaseRequest) -> list[Lease]:
    """Take the partitions over: from the commit on, every write under an earlier epoch is dropped.

    Waits at most one second for an owner that is just writing, then raises (`TransientError` inside
    `transaction(engine)`).
    """
    connection.exec_driver_sql("SET LOCAL lock_timeout = '1s'")
    rows = connection.exec_driver_sql(ACQUIRE, (request.group_id, request.owner, *_arrays(request)))
    return [Lease(request.group_id, *row) for row in rows]


def _arrays(request: LeaseRequest) -> tuple[str, str, str]:
    seeds = (request.seed_offsets.get(partition) for partition in request.partitions)
    return (
        array_literal((topic for topic, _ in request.partitions), quoted),
        array_literal((number for _, number in request.partitions), str),
        array_literal(seeds, str),
    )
