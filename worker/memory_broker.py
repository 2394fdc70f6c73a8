"""A broker in memory: the same promises as `KafkaBroker` and the same contract tests, without a network.

Groups rebalance as in KIP-848: a member learns in its own `poll` what it must give up, and gets a partition when
nobody has it any more. Knows no database and no Kafka client.
"""

import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from .broker import Position, ReadFault, RebalanceListener
from .message import Message, Partition

POLL_MESSAGES = 500


@dataclass(slots=True)
class _Log:
    """The messages of one partition; those before `first_offset` have expired."""

    messages: list[Message] = field(default_factory=list)
    first_offset: int = 0
    unreadable: set[int] = field(default_factory=set)


class MemoryCluster:
    """Partitions and the groups that read them. Thread-safe."""

    def __init__(self, partitions: Collection[Partition]) -> None:
        self._logs = {partition: _Log() for partition in partitions}
        self._members: dict[str, list[MemoryBroker]] = {}
        self._owners: dict[tuple[str, Partition], MemoryBroker] = {}
        self._committed: dict[tuple[str, Partition], int] = {}
        self._changed = threading.Condition(threading.RLock())

    def publish(self, partition: Partition, value: bytes | None, key: bytes | None = None) -> int:
        """Append a message and return its offset."""
        with self._changed:
            messages = self._logs[partition].messages
            messages.append(Message(*partition, len(messages), key, value, (), 0.0))
            self._changed.notify_all()
            return len(messages) - 1

    def expire(self, partition: Partition, first_offset: int) -> None:
        """Let retention remove everything before `first_offset`."""
        with self._changed:
            self._logs[partition].first_offset = first_offset

    def damage(self, partition: Partition, *offsets: int) -> None:
        """Let nobody read these messages any more."""
        with self._changed:
            self._logs[partition].unreadable |= set(offsets)

    def heal(self, partition: Partition) -> None:
        """Let every message be read again."""
        with self._changed:
            self._logs[partition].unreadable.clear()

    def expel(self, broker: "MemoryBroker") -> None:
        """Treat a member as silent for too long: its partitions go to others before it hears of that."""
        with self._changed:
            self._members[broker.group_id].remove(broker)
            self._free(broker, [p for (_, p), owner in self._owners.items() if owner is broker])

    def join(self, broker: "MemoryBroker") -> None:
        with self._changed:
            members = self._members.setdefault(broker.group_id, [])
            if broker not in members:
                members.append(broker)

    def leave(self, broker: "MemoryBroker") -> None:
        if broker in self._members.get(broker.group_id, []):
            self.expel(broker)

    def owned(self, broker: "MemoryBroker") -> set[Partition]:
        """The partitions that belong to the member now."""
        with self._changed:
            return {partition for (_, partition), owner in self._owners.items() if owner is broker}

    def due(self, broker: "MemoryBroker") -> set[Partition]:
        """The partitions that the member should have: they are dealt out in turn."""
        with self._changed:
            members = self._members[broker.group_id]
            return set(sorted(self._logs)[members.index(broker) :: len(members)])

    def claim(self, broker: "MemoryBroker") -> list[Partition]:
        """Take what is due to the member and free."""
        with self._changed:
            free = sorted(p for p in self.due(broker) if (broker.group_id, p) not in self._owners)
            self._owners |= {(broker.group_id, partition): broker for partition in free}
            return free

    def release(self, broker: "MemoryBroker", partitions: Collection[Partition]) -> None:
        with self._changed:
            self._free(broker, partitions)

    def position(self, group_id: str, partition: Partition) -> Position:
        with self._changed:
            log = self._logs[partition]
            return Position(log.first_offset, len(log.messages), self._committed.get((group_id, partition)))

    def commit(self, group_id: str, offsets: Mapping[Partition, int]) -> None:
        with self._changed:
            self._committed |= {(group_id, partition): offset for partition, offset in offsets.items()}

    def fetch(self, positions: Mapping[Partition, int], timeout_seconds: float) -> list[Message]:
        """Messages from these positions on; waits for the first."""
        with self._changed:
            self._changed.wait_for(lambda: self._available(positions), timeout_seconds)
            return self._available(positions)

    def is_damaged(self, partition: Partition, offset: int) -> bool:
        with self._changed:
            return offset in self._logs[partition].unreadable

    def _available(self, positions: Mapping[Partition, int]) -> list[Message]:
        found = [message for p, offset in positions.items() for message in self._readable(p, offset)]
        return found[:POLL_MESSAGES]

    def _readable(self, partition: Partition, offset: int) -> list[Message]:
        log = self._logs[partition]
        end = min((at for at in log.unreadable if at >= offset), default=len(log.messages))
        return log.messages[offset:end]

    def _free(self, broker: "MemoryBroker", partitions: Collection[Partition]) -> None:
        for partition in partitions:
            del self._owners[broker.group_id, partition]
        self._changed.notify_all()


class MemoryBroker:
    """One member of a group on a `MemoryCluster`."""

    def __init__(self, cluster: MemoryCluster, group_id: str, listener: RebalanceListener) -> None:
        self.group_id = group_id
        self._cluster = cluster
        self._listener = listener
        self._assigned: set[Partition] = set()
        self._positions: dict[Partition, int] = {}  # of started partitions
        self._faults: dict[Partition, ReadFault] = {}
        self._held: frozenset[str] = frozenset()
        cluster.join(self)

    def poll(self, timeout_seconds: float) -> list[Message]:
        self._rebalance()
        flowing = {partition: offset for partition, offset in self.reading().items() if partition[0] not in self._held}
        messages = self._cluster.fetch(flowing, timeout_seconds)
        for message in messages:
            self._positions[message.partition] = message.offset + 1
        for partition, offset in self.reading().items():
            if partition[0] not in self._held and self._cluster.is_damaged(partition, offset):
                self._faults[partition] = ReadFault(partition, offset, "damaged")
        return messages

    def start(self, offsets: Mapping[Partition, int]) -> None:
        started = {partition: offset for partition, offset in offsets.items() if partition in self._assigned}
        self._positions |= started
        for partition in started:
            self._faults.pop(partition, None)

    def reading(self) -> dict[Partition, int]:
        return {partition: offset for partition, offset in self._positions.items() if partition not in self._faults}

    def faults(self) -> list[ReadFault]:
        return list(self._faults.values())

    def unstarted(self) -> list[Partition]:
        return sorted(self._assigned - self._positions.keys())

    def positions(self, partitions: Sequence[Partition]) -> dict[Partition, Position]:
        return {partition: self._cluster.position(self.group_id, partition) for partition in partitions}

    def hold(self, topics: Collection[str]) -> None:
        self._held = frozenset(topics)

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        self._cluster.commit(self.group_id, {p: offset for p, offset in offsets.items() if p in self._positions})

    def lag(self, settled: Mapping[Partition, int]) -> int:
        return sum(
            max(0, self._cluster.position(self.group_id, partition).end_offset - offset)
            for partition, offset in settled.items()
        )

    def close(self, timeout_seconds: float) -> bool:  # noqa: ARG002 - memory answers at once
        self._cluster.leave(self)
        return True

    def _rebalance(self) -> None:
        lost = sorted(self._assigned - self._cluster.owned(self))
        if lost:
            self._forget(lost)
            self._listener.lost(lost)
        self._cluster.join(self)
        surplus = sorted(self._assigned - self._cluster.due(self))
        if surplus:
            self._forget(surplus)
            self._listener.revoked(surplus)
            self._cluster.release(self, surplus)
        gained = self._cluster.claim(self)
        if gained:
            self._assigned |= set(gained)
            self._positions |= self._listener.assigned(self.positions(gained))

    def _forget(self, partitions: Collection[Partition]) -> None:
        for partition in partitions:
            self._assigned.discard(partition)
            self._positions.pop(partition, None)
            self._faults.pop(partition, None)
