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
from .broker import Broker, ClientLostError, Position
from .fault_desk import FaultDesk
from .interpreter_turns import InterpreterTurns
from .leasing import Leasing
from .message import Partition, by_topic
from .pipeline import Pipeline
from .stall_watch import StallWatch

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
    """High-water marks of each lane, and how long a revocation may wait for work that has begun."""

    in_flight_jobs: int
    in_flight_bytes: int
    drain_seconds: float


class Intake:
    """Listener of the broker's rebalances and owner of the assignments."""

    def __init__(self, pipeline: Pipeline, engine: Engine, limits: IntakeLimits, desk: FaultDesk | None = None) -> None:
        """Without a desk of its own, it tries for ever to read what cannot be read."""
        self._pipeline = pipeline
        self._leasing = Leasing(pipeline, engine)
        self._limits = limits
        self._desk = desk or FaultDesk(pipeline)
        self._turns = InterpreterTurns()
        self._lease_tried_at_seconds = 0.0
        self._held: frozenset[str] = frozenset()
        self._failure: DragomanError | None = None
        self._stalls = StallWatch()
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
        deliveries = self._pipeline.assignments.receive_all(broker.poll(POLL_SECONDS))
        self._turns.saw(interactive=any(delivery.is_interactive for delivery in deliveries))
        if deliveries:
            self._pipeline.metrics.polled.inc(len(deliveries))
            self._pipeline.inbox.put(deliveries)
        self._adjust_flow(broker)
        self._desk.turn(broker)
        self._read_stalled_again(broker)
        settled = self._pipeline.assignments.settled_offsets()
        broker.commit(settled)
        self._measure(broker, settled)

    def assigned(self, positions: Mapping[Partition, Position]) -> Mapping[Partition, int]:
        """Take the leases of partitions that came to us; the database says where they start."""
        if not positions:
            return {}
        self._lease_tried_at_seconds = time.monotonic()
        try:
            return self._leasing.take(positions)
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
        self._leasing.release(partitions)
        assignments.remove(partitions)
        self._pipeline.metrics.revoke_seconds.observe(time.monotonic() - start)
        log.info("partitions_revoked", partitions=len(partitions), which=by_topic(partitions), drained=drained)

    def lost(self, partitions: Sequence[Partition]) -> None:
        """The partitions have another owner already: nothing of ours counts for them any more."""
        self._pipeline.assignments.remove(partitions)
        self._leasing.forget(partitions)
        self.give_back_waiting(partitions)
        log.warning("partitions_lost", partitions=len(partitions), which=by_topic(partitions))

    def forget_all(self) -> None:
        """The client is gone, and with it every partition."""
        self.lost(sorted(self._pipeline.assignments.partitions()))
        self._held = frozenset()
        self._pipeline.fenced.clear()

    @property
    def refused(self) -> frozenset[Partition]:
        """Partitions that stay unread until a person decides: see the log for why."""
        return self._leasing.refused

    def release(self) -> None:
        """Say that we leave every partition in order, if the database answers soon."""
        self._leasing.release(self._pipeline.assignments.partitions())

    def give_back_waiting(self, partitions: Sequence[Partition]) -> None:
        """Segments that no batch has taken are left to the next owner of their partition."""
        waiting = self._pipeline.waiting_room.remove(frozenset(partitions))
        self._pipeline.assignments.give_back([segment.delivery for segment in waiting])

    def _lease_again(self, broker: Broker) -> None:
        """Try again for partitions that we have from Kafka but not yet from the database."""
        due = time.monotonic() - self._lease_tried_at_seconds > LEASE_RETRY_SECONDS
        wanted = [partition for partition in broker.unstarted() if self._leasing.is_due(partition)] if due else []
        if wanted:
            self._lease_tried_at_seconds = time.monotonic()
            broker.start(self.assigned(broker.positions(wanted)))

    def _read_stalled_again(self, broker: Broker) -> None:
        """Start partitions anew that stand still although Kafka has more of them: the client has lost its place."""
        reading = {
            partition: offset for partition, offset in broker.reading().items() if partition[0] not in self._held
        }
        still = self._stalls.observe(reading, time.monotonic())
        ends = {partition: position.end_offset for partition, position in broker.positions(still).items()}
        stalled = {partition: reading[partition] for partition, end in ends.items() if end > reading[partition]}
        if stalled:
            self._pipeline.metrics.partition_restarts.inc(len(stalled))
            log.warning("partitions_read_again", partitions=len(stalled))
            broker.start(stalled)

    def _adjust_flow(self, broker: Broker) -> None:
        topics = {topic for topic, _ in self._pipeline.assignments.partitions()}
        held = frozenset(topic for topic in topics if self._is_full(topic))
        if held != self._held:
            self._held = held
            broker.hold(held)

    def _is_full(self, topic: str) -> bool:
        """Whether enough of a lane is in flight. Each lane has limits of its own: a backlog holds back no other."""
        in_flight, limits = self._pipeline.assignments.in_flight(topic), self._limits
        share = max(in_flight.jobs / limits.in_flight_jobs, in_flight.size_bytes / limits.in_flight_bytes)
        return share > RESUME_SHARE if topic in self._held else share >= 1

    def _measure(self, broker: Broker, settled: Mapping[Partition, int]) -> None:
        metrics = self._pipeline.metrics
        in_flight = self._pipeline.assignments.in_flight()
        metrics.in_flight_jobs.set(in_flight.jobs)
        metrics.in_flight_bytes.set(in_flight.size_bytes)
        metrics.waiting_segments.set(len(self._pipeline.waiting_room))
        metrics.partitions.set(len(settled))
        metrics.unstarted.set(len(broker.unstarted()))
        metrics.refused.set(len(self.refused))
        metrics.paused.set(float(bool(self._held)))
        reading = [partition for partition in broker.reading() if partition[0] not in self._held]
        metrics.paused_partitions.set(max(0, len(settled) - len(reading)))
        oldest = self._pipeline.assignments.oldest_seconds()
        metrics.lag_seconds.set(0.0 if oldest is None else max(0.0, time.time() - oldest))
        metrics.stall_seconds.set(self._pipeline.assignments.stalled_seconds())
        metrics.lag.set(broker.lag(settled))
