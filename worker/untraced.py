"""Publishes answers of no-trace jobs before they are recorded: the outbox, a table, must not hold their texts.

So what is recorded has been published. A worker that dies between the two leaves the job to the next one, which
publishes the answer again, with the same event id.
"""

from collections.abc import Sequence

from ..storage.records import OutboxEvent
from .outgoing import ACKNOWLEDGE_SECONDS, EventPublisher, Tally, publish_all


def publish_now(publisher: EventPublisher, events: Sequence[OutboxEvent]) -> list[OutboxEvent]:
    """Publish events and wait until Kafka has them; returns those that it has not acknowledged in time."""
    tally = Tally()
    publish_all(publisher, events, tally, ACKNOWLEDGE_SECONDS)
    arrived = set(tally.acknowledged())
    return [event for event in events if event.event_id not in arrived]
