"""The right to write for a partition, and where to start reading it. Knows no Kafka client.

Every acquisition raises the epoch in the statement that reads `next_offset`, so whoever held the partition
before can write nothing that the new holder has not seen.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID

from sqlalchemy import Connection

from .bulk import array_literal, quoted
from .records import Partition

ACQUIRE = """
INSERT INTO ingest_lease AS lease (group_id, topic, partition, epoch, owner, next_offset, topic_id)
SELECT %s, topic, partition, 1, %s, seed, topic_id
FROM unnest(%s::text[], %s::integer[], %s::bigint[], %s::uuid[]) AS wanted (topic, partition, seed, topic_id)
ORDER BY topic, partition
ON CONFLICT (group_id, topic, partition) DO UPDATE SET epoch = lease.epoch + 1, owner = excluded.owner,
  next_offset = coalesce(lease.next_offset, excluded.next_offset),
  topic_id = coalesce(excluded.topic_id, lease.topic_id),
  stalled_acquisitions = lease.stalled_acquisitions + 1, updated_at = now()
WHERE lease.topic_id IS NULL OR excluded.topic_id IS NULL OR lease.topic_id = excluded.topic_id
RETURNING topic, partition, epoch, next_offset, stalled_acquisitions, updated_at
"""
ALL = """
SELECT topic, partition, epoch, owner, next_offset FROM ingest_lease WHERE group_id = %s ORDER BY topic, partition
"""
# Whoever leaves in order was not brought down by what it read. That says nothing of those who were, before it.
RELEASE = """
UPDATE ingest_lease AS lease SET stalled_acquisitions = greatest(stalled_acquisitions - 1, 0)
FROM unnest(%s::text[], %s::integer[], %s::bigint[]) AS left_by_us (topic, partition, epoch)
WHERE lease.group_id = %s AND lease.topic = left_by_us.topic AND lease.partition = left_by_us.partition
AND lease.epoch = left_by_us.epoch
"""
# The new epoch fences whoever still writes for the old topic.
ACCEPT_TOPIC = """
UPDATE ingest_lease SET topic_id = %s, next_offset = 0, epoch = epoch + 1, stalled_acquisitions = 0, updated_at = now()
WHERE group_id = %s AND topic = %s AND topic_id IS DISTINCT FROM %s
RETURNING partition
"""
SKIP = """
UPDATE ingest_lease SET next_offset = %s, updated_at = now()
WHERE group_id = %s AND topic = %s AND partition = %s AND epoch = %s AND next_offset < %s
"""
# A worker that is frozen while it takes leases over must not keep them from others.
LIMITS = "SET LOCAL lock_timeout = '1s'; SET LOCAL idle_in_transaction_session_timeout = '5s'"


@dataclass(frozen=True, slots=True)
class Lease:
    """A partition that is ours until somebody raises the epoch; `next_offset` None = nothing finished yet.

    `stalled_acquisitions` says how often it was taken over since anything of it was finished, without those who left
    in order: above one or two, what comes first brings its owners down. `updated_at` is when it was taken, by the
    database's clock.
    """

    group_id: str
    topic: str
    partition: int
    epoch: int
    next_offset: int | None
    stalled_acquisitions: int = 0
    updated_at: datetime | None = None

    @property
    def key(self) -> Partition:
        """The partition as (topic, number)."""
        return (self.topic, self.partition)


@dataclass(frozen=True, slots=True)
class OwnedLease:
    """A lease as people look at it."""

    topic: str
    partition: int
    epoch: int
    owner: str
    next_offset: int | None


class HeldLease(Protocol):
    """A partition and the epoch under which somebody has it."""

    @property
    def topic(self) -> str: ...

    @property
    def partition(self) -> int: ...

    @property
    def epoch(self) -> int: ...


@dataclass(frozen=True, slots=True)
class LeaseRequest:
    """Who wants which partitions; `seed_offsets` says where a partition without a known offset starts.

    `topic_ids` says what the brokers call each topic; one without an id is taken for the topic that it always was.
    """

    group_id: str
    owner: str
    partitions: tuple[Partition, ...]
    seed_offsets: Mapping[Partition, int] = field(default_factory=dict)
    topic_ids: Mapping[str, UUID | None] = field(default_factory=dict)


def acquire_leases(connection: Connection, request: LeaseRequest) -> list[Lease]:
    """Take the partitions over: from the commit on, every write under an earlier epoch is dropped.

    Leaves out partitions whose topic is not the one that the lease was made for: their offsets mean nothing there.
    Waits at most one second for an owner that is just writing, then raises (`TransientError` inside
    `transaction(engine)`).
    """
    connection.exec_driver_sql(LIMITS)
    rows = connection.exec_driver_sql(ACQUIRE, (request.group_id, request.owner, *_arrays(request)))
    return [Lease(request.group_id, *row) for row in rows]


def skip_to(connection: Connection, lease: Lease, offset: int) -> None:
    """Let the lease go on behind messages that are gone, unless we have been overtaken."""
    connection.exec_driver_sql(SKIP, (offset, lease.group_id, lease.topic, lease.partition, lease.epoch, offset))


def release_leases(connection: Connection, group_id: str, leases: Collection[HeldLease]) -> None:
    """Say that we leave these partitions in order; does nothing where we have been overtaken."""
    arrays = (
        array_literal((lease.topic for lease in leases), quoted),
        array_literal((lease.partition for lease in leases), str),
        array_literal((lease.epoch for lease in leases), str),
    )
    connection.exec_driver_sql(RELEASE, (*arrays, group_id))


def accept_topic(connection: Connection, group_id: str, topic: str, topic_id: UUID) -> list[int]:
    """Let the leases of a topic go on with the topic that has this id, from its beginning; returns the partitions.

    Leases that have this id already stay as they are.
    """
    rows = connection.exec_driver_sql(ACCEPT_TOPIC, (str(topic_id), group_id, topic, str(topic_id)))
    return sorted(rows.scalars())


def all_leases(connection: Connection, group_id: str) -> list[OwnedLease]:
    """Every lease of a group, by topic and partition."""
    return [OwnedLease(*row) for row in connection.exec_driver_sql(ALL, (group_id,))]


def _arrays(request: LeaseRequest) -> tuple[str, str, str, str]:
    seeds = (request.seed_offsets.get(partition) for partition in request.partitions)
    return (
        array_literal((topic for topic, _ in request.partitions), quoted),
        array_literal((number for _, number in request.partitions), str),
        array_literal(seeds, str),
        array_literal((request.topic_ids.get(topic) for topic, _ in request.partitions), str),
    )
