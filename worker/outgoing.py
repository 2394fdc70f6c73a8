"""Events on their way to Kafka: what publishes them, and what they are as messages."""

from typing import Protocol

from ..producer.publisher import DeliveryReport, OutgoingMessage
from ..storage.records import OutboxEvent


class Report(Protocol):
    def __call__(self, report: DeliveryReport, /) -> None: ...


class EventPublisher(Protocol):
    """What relay and settler need of a Kafka producer (`producer.kafka.KafkaPublisher`); safe to share."""

    def publish(self, message: OutgoingMessage, on_report: Report) -> bool: ...

    def poll(self, timeout_seconds: float) -> None: ...

    def close(self) -> None: ...


def outgoing(event: OutboxEvent) -> OutgoingMessage:
    """The message of an event."""
    headers = [(name, value.encode()) for name, value in event.headers]
    return OutgoingMessage(event.topic, event.key or b"", event.payload, headers)
