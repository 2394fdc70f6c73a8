"""The partitions that are ours now: lease epoch, offsets in flight, what is settled. Thread-safe.

The intake adds and removes partitions, every stage asks whether a delivery still counts, the settler finishes
deliveries. A partition that comes back comes back as a new assignment under a new epoch.
"""

import threading
import time
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from ..schemas.topics import JOBS_INTERACTIVE
from ..storage.records import PartitionProgress
from .message import Message, Partition
from .offsets import OffsetTracker


@dataclass(frozen=True, slots=True)
class InFlight:
    """How much is polled and not yet recorded or given back."""

    jobs: int
    size_bytes: int


class Assignment:
    """One partition under one lease epoch; everything in it is guarded by the registry's lock."""

    def __init__(self, partition: Partition, epoch: int, next_offset: int, suspect_before: int) -> None:
        self.partition = partition
        self.epoch = epoch
        self.suspect_before = suspect_before
        self.tracker = OffsetTracker(next_offset)
        self.settled_offset = next_offset
        self.recorded_at: datetime | None = None  # when the database last had something from us, by its clock
        self.recording_seconds: float | None = None  # time of the oldest message of the transaction under way
        self.revoking = False
        self.active = 0  # deliveries that somebody still works on


class Delivery(NamedTuple):
    """One message in flight, under the lease that was ours when it was polled."""

    message: Message
    assignment: Assignment
    received_at: datetime
    size_bytes: int

    @property
    def is_interactive(self) -> bool:
        """Whether somebody waits for it: it came through the topic of the interactive lane."""
        return self.message.topic.endswith(JOBS_INTERACTIVE.name)

    @property
    def is_suspect(self) -> bool:
        """Whether it may be what brought former owners of its partition down: count an attempt, then run it alone."""
        return self.message.offset < self.assignment.suspect_before


class Assignments:
    """What this worker may work on."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._held: dict[Partition, Assignment] = {}
        # By topic: each lane has a topic of its own.
        self._jobs: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self._moved_at_seconds = 0.0

    def add(
        self,
        partition: Partition,
        epoch: int,
        next_offset: int,
        *,
        suspect_before: int = 0,
        taken_at: datetime | None = None,
    ) -> None:
        """A partition became ours; reading starts at `next_offset`, what lies before `suspect_before` is suspect.

        `taken_at` is when, by the database's clock.
        """
        with self._changed:
            held = self._held[partition] = Assignment(partition, epoch, next_offset, suspect_before)
            held.recorded_at = taken_at

    def remove(self, partitions: Iterable[Partition]) -> None:
        """Partitions are no longer ours; what is still in flight for them no longer counts."""
        with self._changed:
            for partition in partitions:
                self._held.pop(partition, None)
            self._changed.notify_all()

    def partitions(self) -> frozenset[Partition]:
        with self._changed:
            return frozenset(self._held)

    def leases(self, partitions: Collection[Partition]) -> list[PartitionProgress]:
        """Those of the partitions that are ours, with epoch and settled offset."""
        with self._changed:
            held = [self._held[partition] for partition in partitions if partition in self._held]
            return [PartitionProgress(*h.partition, h.epoch, h.settled_offset) for h in held]

    def receive(self, message: Message, last_offset: int | None = None) -> Delivery | None:
        """Take a polled message in flight; None when its partition is not ours or it was polled before.

        With `last_offset`, it stands for everything up to there.
        """
        with self._changed:
            return self._receive(message, last_offset, datetime.now(UTC))

    def receive_all(self, messages: Iterable[Message]) -> list[Delivery]:
        """The same of many that were polled together, without those that do not count."""
        with self._changed:
            now = datetime.now(UTC)
            received = [self._receive(message, None, now) for message in messages]
        return [delivery for delivery in received if delivery is not None]

    def counted(self, deliveries: Iterable[Delivery]) -> list[bool]:
        """Whether an outcome of this delivery may be recorded, of each of these."""
        with self._changed:
            held = frozenset(self._held.values())
        return [delivery.assignment in held for delivery in deliveries]

    def admitted(self, deliveries: Iterable[Delivery]) -> list[bool]:
        """Whether work on this delivery may begin, of each of these."""
        with self._changed:
            held = frozenset(one for one in self._held.values() if not one.revoking)
        return [delivery.assignment in held for delivery in deliveries]

    def finish(self, deliveries: Iterable[Delivery]) -> tuple[PartitionProgress, ...]:
        """Outcomes are about to be recorded: how far does that bring each of their partitions?"""
        with self._changed:
            touched: dict[Partition, Assignment] = {}
            for delivery in deliveries:
                held = delivery.assignment
                if held.partition not in touched:
                    touched[held.partition] = held
                    held.recording_seconds = held.tracker.oldest_seconds
                held.tracker.finish(delivery.message.offset)
            return tuple(
                PartitionProgress(*held.partition, held.epoch, held.tracker.next_offset, held.recorded_at)
                for held in touched.values()
            )

    def settled(
        self,
        deliveries: Collection[Delivery],
        progress: Iterable[PartitionProgress],
        recorded_at: datetime | None = None,
    ) -> None:
        """The transaction with these outcomes has been committed; `recorded_at`: when, by the database's clock."""
        with self._changed:
            for entry in progress:
                held = self._held.get((entry.topic, entry.partition))
                if held and held.epoch == entry.epoch:
                    self._moved_at_seconds = time.monotonic()
                    held.settled_offset = max(held.settled_offset, entry.next_offset)
                    held.recorded_at = recorded_at or held.recorded_at
                    held.recording_seconds = None
            self._let_go(deliveries)

    def fence(self, progress: Collection[PartitionProgress]) -> bool:
        """Forget what somebody else has taken over; False if none of it was ours under these epochs any more."""
        with self._changed:
            held = [self._held.get((entry.topic, entry.partition)) for entry in progress]
            overtaken = [h for h, entry in zip(held, progress, strict=True) if h and h.epoch == entry.epoch]
            for assignment in overtaken:
                del self._held[assignment.partition]
            self._changed.notify_all()
            return bool(overtaken)

    def give_back(self, deliveries: Collection[Delivery]) -> None:
        """Nobody will work on these here: they stay unfinished, and whoever gets the partition reads them again."""
        with self._changed:
            self._let_go(deliveries)

    def revoke(self, partitions: Iterable[Partition]) -> None:
        """Admit nothing more of these partitions; what is being worked on may still be recorded."""
        with self._changed:
            for partition in partitions:
                if partition in self._held:
                    self._held[partition].revoking = True

    def wait_idle(self, partitions: Collection[Partition], timeout_seconds: float) -> bool:
        """Block until nobody works on these partitions any more; False when that takes too long."""
        with self._changed:
            return self._changed.wait_for(lambda: self._idle(partitions), timeout_seconds)

    def in_flight(self, topic: str | None = None) -> InFlight:
        """Of one topic, or of all."""
        with self._changed:
            if topic is None:
                return InFlight(self._jobs.total(), self._bytes.total())
            return InFlight(self._jobs[topic], self._bytes[topic])

    def settled_offsets(self) -> dict[Partition, int]:
        """The committed offset of every partition, as the database has it."""
        with self._changed:
            return {partition: held.settled_offset for partition, held in self._held.items()}

    def oldest_seconds(self) -> float | None:
        """Time of the oldest message that is polled and not settled, as its producer or broker gave it."""
        with self._changed:
            held = self._held.values()
            times = [seconds for one in held for seconds in (one.recording_seconds, one.tracker.oldest_seconds)]
        return min((seconds for seconds in times if seconds is not None), default=None)

    def stalled_seconds(self) -> float:
        """How long nothing has been settled although something is in flight."""
        with self._changed:
            return time.monotonic() - self._moved_at_seconds if self._jobs.total() else 0.0

    def _receive(self, message: Message, last_offset: int | None, now: datetime) -> Delivery | None:
        held = self._held.get(message.partition)
        if held is None or held.revoking:
            return None
        if not held.tracker.poll(message.offset, last_offset, message.timestamp_seconds or now.timestamp()):
            return None
        if not held.active and not self._jobs.total():
            self._moved_at_seconds = time.monotonic()
        held.active += 1
        self._jobs[message.topic] += 1
        self._bytes[message.topic] += (size_bytes := message.size_bytes)
        return Delivery(message, held, now, size_bytes)

    def _idle(self, partitions: Collection[Partition]) -> bool:
        return all(self._held[partition].active == 0 for partition in partitions if partition in self._held)

    def _let_go(self, deliveries: Collection[Delivery]) -> None:
        for message, assignment, _, size_bytes in deliveries:
            assignment.active -= 1
            self._jobs[message.topic] -= 1
            self._bytes[message.topic] -= size_bytes
        self._changed.notify_all()
