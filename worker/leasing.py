"""Takes the leases of partitions and says where each starts; refuses what would skip or repeat in silence.

Knows the database, by calls that end in time, and what Kafka said of the partitions; knows no Kafka client.
"""

import time
from collections.abc import Collection, Mapping
from dataclasses import replace

import structlog
from sqlalchemy import Connection, Engine

from ..errors import DragomanError
from ..storage.engine import transaction
from ..storage.leases import Lease, LeaseRequest, acquire_leases, release_leases, skip_to
from ..storage.quarantine import QuarantinedRange, record_quarantine
from .bounded_calls import BoundedCalls
from .broker import Position
from .message import Partition, by_topic
from .pipeline import Pipeline

log = structlog.get_logger(__name__)

# The group waits for us meanwhile, and nobody polls. A lock may take a second of it.
ANSWER_SECONDS = 4.0
# Leaving in order is a courtesy to whoever comes next.
RELEASE_SECONDS = 1.0
# A partition that was taken over so often without progress brings its owners down: what comes first is suspect.
SUSPECT_ACQUISITIONS = 3
# So many messages of it: about what a worker had begun when it went down.
SUSPECT_MESSAGES = 1_000
# The epoch of a lease that nobody had before.
FIRST_EPOCH = 1
# A refusal stands until a person decides; asking more often would only load the database.
REFUSED_SECONDS = 5.0


class Leasing:
    """The leases of one worker."""

    def __init__(self, pipeline: Pipeline, engine: Engine) -> None:
        self._pipeline = pipeline
        self._engine = engine
        self._calls = BoundedCalls("leases")
        self._refused: dict[Partition, float] = {}

    @property
    def refused(self) -> frozenset[Partition]:
        """Partitions that are not read although they are ours: their topic is another, or ends before our offset."""
        return frozenset(self._refused)

    def is_due(self, partition: Partition) -> bool:
        """Whether it makes sense to ask for this partition now."""
        return time.monotonic() - self._refused.get(partition, -REFUSED_SECONDS) >= REFUSED_SECONDS

    def take(self, positions: Mapping[Partition, Position]) -> dict[Partition, int]:
        """Take these leases; returns where each partition starts, without those that are refused.

        Raises `TransientError` when the database does not answer in time, `DragomanError` when it refuses for good.
        """
        leases = {lease.key: lease for lease in self._calls.call(lambda: self._acquire(positions), ANSWER_SECONDS)}
        offsets = {}
        for partition, position in positions.items():
            lease = leases.get(partition)
            if lease is None:
                self._refuse(partition, "topic_made_anew", position, None)
                continue
            start = lease.next_offset or 0
            if start > position.end_offset:
                self._refuse(partition, "offset_beyond_end", position, start)
                continue
            self._refused.pop(partition, None)
            self._pipeline.assignments.add(
                partition,
                lease.epoch,
                start,
                suspect_before=_suspect_before(lease, start),
                taken_at=lease.updated_at,
            )
            offsets[partition] = start
        log.info("partitions_assigned", partitions=len(offsets), which=by_topic(offsets))
        return offsets

    def release(self, partitions: Collection[Partition]) -> None:
        """Say that we leave these partitions in order, if the database answers soon."""
        leases = self._pipeline.assignments.leases(partitions)
        self.forget(partitions)
        if not leases:
            return
        group_id = self._pipeline.identity.group_id

        def release() -> None:
            with transaction(self._engine) as connection:
                release_leases(connection, group_id, leases)

        try:
            self._calls.call(release, RELEASE_SECONDS)
        except DragomanError as error:  # a callback of the client must not raise
            log.warning("leases_not_released", partitions=len(leases), error=str(error))

    def forget(self, partitions: Collection[Partition]) -> None:
        """Partitions are no longer ours."""
        for partition in partitions:
            self._refused.pop(partition, None)

    def _acquire(self, positions: Mapping[Partition, Position]) -> list[Lease]:
        identity = self._pipeline.identity
        seeds = {partition: position.start for partition, position in positions.items()}
        topic_ids = {topic: position.topic_id for (topic, _), position in positions.items()}
        request = LeaseRequest(identity.group_id, identity.worker_id, tuple(positions), seeds, topic_ids)
        with transaction(self._engine) as connection:
            leases = acquire_leases(connection, request)
            return [self._behind_the_gap(connection, lease, positions[lease.key]) for lease in leases]

    def _behind_the_gap(self, connection: Connection, lease: Lease, position: Position) -> Lease:
        """The lease, moved on behind messages that retention removed unread; they are written down with the move."""
        known = lease.next_offset if lease.epoch > FIRST_EPOCH else position.committed_offset
        gone, first = known or 0, position.first_offset
        if gone >= first:
            return lease
        record_quarantine(connection, _gap(lease, (gone, first - 1)))
        skip_to(connection, lease, first)
        log.error("messages_expired", topic=lease.topic, partition=lease.partition, messages=first - gone)
        return replace(lease, next_offset=first)

    def _refuse(self, partition: Partition, fault: str, position: Position, next_offset: int | None) -> None:
        """Leave the partition unread, and let the others go on: a person decides."""
        if partition not in self._refused:
            topic, number = partition
            log.error(fault, topic=topic, partition=number, next_offset=next_offset, end_offset=position.end_offset)
        self._refused[partition] = time.monotonic()


def _suspect_before(lease: Lease, start: int) -> int:
    return start + SUSPECT_MESSAGES if lease.stalled_acquisitions >= SUSPECT_ACQUISITIONS else start


def _gap(lease: Lease, offsets: tuple[int, int]) -> QuarantinedRange:
    return QuarantinedRange(
        lease.topic,
        lease.partition,
        *offsets,
        "expired",
        "retention removed these messages before they were read: raise the topic's retention or add workers",
    )
