"""What the producer needs of a broker client, real or in memory. Knows no job and no Kafka library."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol


class OutgoingMessage(NamedTuple):
    """A message ready to be sent."""

    topic: str
    key: bytes
    value: bytes
    headers: Sequence[tuple[str, bytes]]


class DeliveryReport(NamedTuple):
    """What became of a message: `error` is None exactly when all in-sync replicas have it."""

    error: str | None
    partition: int | None = None
    offset: int | None = None


OnReport = Callable[[DeliveryReport], None]


class Publisher(Protocol):
    """Takes messages, sends them in the background, and reports on each exactly once."""

    def check(self, topics: Sequence[str], timeout_seconds: float) -> None:
        """Raise `BrokerUnavailableError` or `MissingTopicError` unless the topics can be written to."""

    def publish(self, message: OutgoingMessage, on_report: OnReport) -> bool:
        """Take the message, or return False because the buffer is full. Does not block."""

    def poll(self, timeout_seconds: float) -> None:
        """Call `on_report` for what has been decided; wait at most so long for the first."""

    def close(self) -> None:
        """Let go of the connection. What has not been delivered is dropped."""
