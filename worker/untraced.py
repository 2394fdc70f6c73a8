"""Publishes answers of no-trace jobs before they are recorded: the outbox, a table, must not hold their texts.

So what is recorded has been published. A worker that dies between the two leaves the job to the next one, which
publishes the answer again, with the same event id.
"""

import time
from collections.abc import Iterable, Sequence
from uuid import UUID

from ..errors import TransientError
from ..producer.publisher import DeliveryReport
from ..storage.records import OutboxEvent
from .outgoing import EventPublisher, Report, outgoing

# How long acknowledgements may take before the rest is tried again.
ACKNOWLEDGE_SECONDS = 15.0
POLL_SECONDS = 0.05


def publish_now(publisher: EventPublisher, events: Sequence[OutboxEvent]) -> list[OutboxEvent]:
    """Publish events and wait until Kafka has them; returns those that it has not acknowledged in time."""
    unanswered = {event.event_id for event in events}
    missing = set(unanswered)

    def listener(event_id: UUID) -> Report:
        def on_report(report: DeliveryReport) -> None:
            unanswered.discard(event_id)
            if report.error is None:
                missing.discard(event_id)

        return on_report

    deadline = time.monotonic() + ACKNOWLEDGE_SECONDS
    for event in events:
        _hand_over(publisher, event, listener(event.event_id), deadline)
    while unanswered and time.monotonic() < deadline:
        publisher.poll(POLL_SECONDS)
    return _of(events, missing)


def _hand_over(publisher: EventPublisher, event: OutboxEvent, on_report: Report, deadline: float) -> None:
    try:
        while not publisher.publish(outgoing(event), on_report) and time.monotonic() < deadline:
            publisher.poll(POLL_SECONDS)
    except TransientError as error:
        on_report(DeliveryReport(str(error)))


def _of(events: Iterable[OutboxEvent], ids: set[UUID]) -> list[OutboxEvent]:
    return [event for event in events if event.event_id in ids]
