"""A record as it was polled. Knows no Kafka client, no database, no network."""

from dataclasses import dataclass
from datetime import UTC, datetime

# (topic, partition)
Partition = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Message:
    """A Kafka record; nobody has looked inside yet."""

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
        return len(self.value or b"") + len(self.key or b"")

    @property
    def sent_at(self) -> datetime:
        """Time that the broker or the producer put on the record."""
        return datetime.fromtimestamp(max(0.0, self.timestamp_seconds), UTC)
