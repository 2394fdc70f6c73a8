"""Events on their way to Kafka: what publishes them, what they are as messages, and which of them have arrived."""

import time
from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from ..errors import TransientError
from ..producer.publisher import DeliveryReport, OutgoingMessage
from ..storage.records import OutboxEvent

# How long acknowledgements may take before the rest is tried again.
ACKNOWLEDGE_SECONDS = 15.0
POLL_SECONDS = 0.1


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


class Tally:
    """Counts delivery reports, which may come from another thread, and late.

    Without a lock: adding to a list is one step for every thread.
    """

    def __init__(self) -> None:
        self._refused: list[str] = []
        self._acknowledged: list[UUID] = []
        self._expected = 0

    def expect(self, events: int) -> None:
        """So many events are handed over."""
        self._expected = events

    def listener(self, event_id: UUID) -> Report:
        acknowledged, refused = self._acknowledged, self._refused

        def on_report(report: DeliveryReport) -> None:
            if report.error is None:
                acknowledged.append(event_id)
            else:
                refused.append(report.error)

        return on_report

    @property
    def missing(self) -> int:
        """Events that are not acknowledged, refused ones too."""
        return self._expected - len(self._acknowledged)

    @property
    def error(self) -> str | None:
        """What was said of the last one that was refused."""
        return self._refused[-1] if self._refused else None

    @property
    def complete(self) -> bool:
        """Whether every event has its report."""
        return self.missing <= len(self._refused)

    def acknowledged(self) -> list[UUID]:
        return list(self._acknowledged)


def publish_all(publisher: EventPublisher, events: Sequence[OutboxEvent], tally: Tally, timeout_seconds: float) -> None:
    """Publish events and wait for their reports, at most so long. One that the client refuses stops no other."""
    tally.expect(len(events))
    deadline = time.monotonic() + timeout_seconds
    for event in events:
        _hand_over(publisher, event, tally.listener(event.event_id), deadline)
    while not tally.complete and time.monotonic() < deadline:
        publisher.poll(POLL_SECONDS)


def _hand_over(publisher: EventPublisher, event: OutboxEvent, on_report: Report, deadline: float) -> None:
    """Give an event to the client, unless it has no room until the deadline."""
    try:
        while not publisher.publish(outgoing(event), on_report) and time.monotonic() < deadline:
            publisher.poll(POLL_SECONDS)
    except TransientError as error:
        on_report(DeliveryReport(str(error)))
