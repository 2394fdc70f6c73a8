"""What the intake needs of Kafka. Knows no client library; `KafkaBroker` and `MemoryBroker` are brokers."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from ..errors import TransientError
from .message import Message, Partition


class ClientLostError(TransientError):
    """The client gave up (it was fenced, or polled too late): forget every partition and make a new one."""


@dataclass(frozen=True, slots=True)
class Position:
    """What Kafka knows of a partition: the first message there is, the next to come, the group's committed offset.

    `topic_id` is another for a topic that was deleted and made anew; None where brokers give topics no id.
    """

    first_offset: int
    end_offset: int
    committed_offset: int | None = None
    topic_id: UUID | None = field(default=None, compare=False)

    @property
    def start(self) -> int:
        """Where a group that the database knows nothing of begins."""
        return max(self.first_offset, self.committed_offset or 0)


@dataclass(frozen=True, slots=True)
class ReadFault:
    """The client cannot read on at this offset: nothing more of the partition comes until `start` is called for it."""

    partition: Partition
    offset: int
    error: str


class RebalanceListener(Protocol):
    """Told about partitions inside `poll`, on the polling thread. Must not raise."""

    def assigned(self, positions: Mapping[Partition, Position]) -> Mapping[Partition, int]:
        """Partitions came to us; returns where each starts. One left out stays paused until `start` is called."""
        ...

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Partitions go to somebody else, who waits until this returns."""
        ...

    def lost(self, partitions: Sequence[Partition]) -> None:
        """Partitions already belong to somebody else."""
        ...


class Broker(Protocol):
    """One member of a consumer group. One thread uses it."""

    def poll(self, timeout_seconds: float) -> list[Message]:
        """Messages of started partitions, and callbacks to the listener; raises `ClientLostError`."""
        ...

    def start(self, offsets: Mapping[Partition, int]) -> None:
        """Begin to read partitions that `assigned` left out, or read them on from another place."""
        ...

    def unstarted(self) -> list[Partition]:
        """Partitions that are ours and were left out so far."""
        ...

    def reading(self) -> Mapping[Partition, int]:
        """The next offset to come of each started partition that has no fault."""
        ...

    def faults(self) -> list[ReadFault]:
        """Where reading has stopped because the client cannot make sense of what is there."""
        ...

    def positions(self, partitions: Sequence[Partition]) -> dict[Partition, Position]:
        """Ask for the positions of partitions again; those without an answer are left out."""
        ...

    def hold(self, topics: Collection[str]) -> None:
        """Deliver nothing of these topics, and of all others again; partitions that come meanwhile obey it too."""
        ...

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Tell Kafka, without waiting, what is finished: for lag monitors only, nothing depends on it."""
        ...

    def lag(self, settled: Mapping[Partition, int]) -> int:
        """Messages behind the settled offsets, as far as the client has heard of them."""
        ...

    def close(self, timeout_seconds: float) -> bool:
        """Leave the group; False if that was not done in time."""
        ...
