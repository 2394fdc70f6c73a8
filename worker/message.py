"""A record as it was polled. Knows no Kafka client, no database, no network."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

# (topic, partition)
Partition = tuple[str, int]

# The year 2100: later times do not fit a job id, and Python's end before an eight-byte timestamp does.
LATEST_SECONDS = 4_102_444_800.0


class Message(NamedTuple):
    """A Kafka record; nobody has looked inside yet. A tuple, as all that every job makes one of: see `work`."""

    topic: str
    partition_number: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    timestamp_seconds: float

    @property
    def partition(self) -> Partition:
        return (self.topic, self.partition_number)

    @property
    def size_bytes(self) -> int:
        """What it holds in memory while it is in flight."""
        size = len(self.value or b"") + len(self.key or b"")
        for name, value in self.headers:
            size += len(name) + len(value or b"")
        return size

    @property
    def sent_at(self) -> datetime:
        """Time that the broker or the producer put on the record; a producer can put any number there."""
        return datetime.fromtimestamp(min(max(0.0, self.timestamp_seconds), LATEST_SECONDS), UTC)


def by_topic(partitions: Iterable[Partition]) -> dict[str, list[int]]:
    """The numbers of these partitions, for a log line."""
    found: dict[str, list[int]] = {}
    for topic, number in sorted(partitions):
        found.setdefault(topic, []).append(number)
    return found
