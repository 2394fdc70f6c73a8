"""The polling thread: takes messages in, holds leases, pauses when too much is in flight, tells Kafka how far we are.

The only user of the broker. Touches the database in one place, to take leases, with short timeouts; never waits for
the model.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy import Engine

from ..errors import DragomanError, TransientError
from ..failpoints import reached
from ..storage.engine import transaction
from ..storage.leases import Lease, LeaseRequest, acquire_leases
from ..storage.quarantine import QuarantinedRange, record_quarantine
from .broker import Broker, ClientLostError, Position
from .message import Partition
from .pipeline import Pipeline

log = structlog.get_logger(__name__)

POLL_SECONDS = 0.1
# Polling goes on when so much of the limit is free again: a pause throws the client's prefetched messages away.
RESUME_SHARE = 0.5
# Seconds between two attempts to take leases that the database did not give.
LEASE_RETRY_SECONDS = 1.0
# A revocation waits at most so long for begun work, whatever a stop may take: the whole group waits for us, and
# nobody polls meanwhile.
REVOKE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class IntakeLimits:
    """High-water marks, and how long a revocation may wait for work that has begun."""

    in_flight_jobs: int
    in_flight_bytes: int
    drain_seconds: float


class Intake:
    """Listener of the broker's rebalances and owner of the assignments."""

    def __init__(self, pipeline: Pipeline, engine: Engine, limits: IntakeLimits) -> None:
        self._pipeline = pipeline
        self._engine = engine
        self._limits = limits
        self._lease_tried_at_seconds = 0.0
        self._paused = False
        self._failure: DragomanError | None = None
        self.last_poll_seconds = time.monotonic()

    def turn(self, broker: Broker) -> None:
        """One turn of the loop: poll, hand over, adjust.

        Raises `ClientLostError`, and `DragomanError` when the database has refused us leases for good.
        """
        if self._failure is not None:
            raise self._failure
        if self._pipeline.fenced.is_set():
            # Only the group can say whose the partition is now, so we leave it and join it anew; taking the lease
            # back ourselves would fence the rightful owner.
            raise ClientLostError("another worker has taken a partition over")
        reached("poll")
        self.last_poll_seconds = time.monotonic()
        self._lease_again(broker)
        received = [self._pipeline.assignments.receive(message) for message in broker.poll(POLL_SECONDS)]
        deliveries = [delivery for delivery in received if delivery is not None]
        if deliveries:
            self._pipeline.metrics.polled.inc(len(deliveries))
            self._pipeline.inbox.put(deliveries)
        self._adjust_flow(broker)
        settled = self._pipeline.assignments.settled_offsets()
        broker.commit(settled)
        self._measure(broker, settled)

    def assigned(self, positions: Mapping[Partition, Position]) -> Mapping[Partition, int]:
        """Take the leases of partitions that came to us; the database says where they start."""
        if not positions:
            return {}
        self._lease_tried_at_seconds = time.monotonic()
        try:
            return self._take_leases(positions)
        except TransientError as error:
            log.warning("leases_not_taken", partitions=len(positions), error=str(error))
        except DragomanError as error:
            self._failure = error  # a callback of the client must not raise, so the next turn does
        return {}

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Stop admitting, give waiting work back, let begun work be recorded, then forget."""
        start = time.monotonic()
        assignments = self._pipeline.assignments
        assignments.revoke(partitions)
        self.give_back_waiting(partitions)
        drained = assignments.wait_idle(partitions, min(self._limits.drain_seconds, REVOKE_SECONDS))
        assignments.remove(partitions)
        self._pipeline.metrics.revoke_seconds.observe(time.monotonic() - start)
        log.info("partitions_revoked", partitions=len(partitions), drained=drained)

    def lost(self, partitions: Sequence[Partition]) -> None:
        """The partitions have another owner already: nothing of ours counts for them any more."""
        self._pipeline.assignments.remove(partitions)
        self.give_back_waiting(partitions)
        log.warning("partitions_lost", partitions=len(partitions))

    def forget_all(self) -> None:
        """The client is gone, and with it every partition."""
        self.lost(sorted(self._pipeline.assignments.partitions()))
        self._paused = False
        self._pipeline.fenced.clear()

    def give_back_waiting(self, partitions: Sequence[Partition]) -> None:
        """Segments that no batch has taken are left to the next owner of their partition."""
        waiting = self._pipeline.waiting_room.remove(frozenset(partitions))
        self._pipeline.assignments.give_back([segment.delivery for segment in waiting])

    def _take_leases(self, positions: Mapping[Partition, Position]) -> dict[Partition, int]:
        identity = self._pipeline.identity
        seeds = {partition: position.start for partition, position in positions.items()}
        request = LeaseRequest(identity.group_id, identity.worker_id, tuple(positions), seeds)
        with transaction(self._engine) as connection:
            leases = acquire_leases(connection, request)
            for lease in leases:
                first = positions[lease.key].first_offset
                if lease.next_offset is not None and lease.next_offset < first:
                    record_quarantine(connection, _gap(lease, first))
                    log.error("messages_expired", topic=lease.topic, messages=first - lease.next_offset)
        offsets = {}
        for lease in leases:
            start = max(lease.next_offset or 0, positions[lease.key].first_offset)
            if self._exists(lease, start, positions[lease.key].end_offset):
                self._pipeline.assignments.add(lease.key, lease.epoch, start)
                offsets[lease.key] = start
        log.info("partitions_assigned", partitions=len(offsets))
        return offsets

    @staticmethod
    def _exists(lease: Lease, start: int, end_offset: int) -> bool:
        """Whether Kafka has the place where we stopped; if not, the topic is another, or lost its end.

        Then the partition stays unstarted, and the others go on: to start elsewhere would skip or repeat in silence.
        """
        if start > end_offset:
            log.error(
                "offset_beyond_end",
                topic=lease.topic,
                partition=lease.partition,
                next_offset=start,
                end_offset=end_offset,
            )
        return start <= end_offset

    def _lease_again(self, broker: Broker) -> None:
        """Try again for partitions that we have from Kafka but not yet from the database."""
        due = time.monotonic() - self._lease_tried_at_seconds > LEASE_RETRY_SECONDS
        if due and (wanted := broker.unstarted()):
            self._lease_tried_at_seconds = time.monotonic()
            broker.start(self.assigned(broker.positions(wanted)))

    def _adjust_flow(self, broker: Broker) -> None:
        in_flight = self._pipeline.assignments.in_flight()
        share = max(in_flight.jobs / self._limits.in_flight_jobs, in_flight.size_bytes / self._limits.in_flight_bytes)
        if share >= 1 and not self._paused:
            self._paused = True
            broker.pause()
        elif share <= RESUME_SHARE and self._paused:
            self._paused = False
            broker.resume()

    def _measure(self, broker: Broker, settled: Mapping[Partition, int]) -> None:
        metrics = self._pipeline.metrics
        in_flight = self._pipeline.assignments.in_flight()
        metrics.in_flight_jobs.set(in_flight.jobs)
        metrics.in_flight_bytes.set(in_flight.size_bytes)
        metrics.waiting_segments.set(len(self._pipeline.waiting_room))
        metrics.partitions.set(len(settled))
        metrics.unstarted.set(len(broker.unstarted()))
        metrics.paused.set(float(self._paused))
        metrics.lag.set(broker.lag(settled))


def _gap(lease: Lease, first_offset: int) -> QuarantinedRange:
    return QuarantinedRange(
        lease.topic,
        lease.partition,
        lease.next_offset or 0,
        first_offset - 1,
        "expired",
        "retention removed these messages before they were read: raise the topic's retention or add workers",
    )
