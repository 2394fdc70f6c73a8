"""Asks brokers where partitions begin and end, what the group committed, which topic it is.

Knows confluent_kafka; decides nothing.
"""

import time
from base64 import urlsafe_b64decode
from collections.abc import Collection, Sequence
from uuid import UUID

import structlog
from confluent_kafka import Consumer, KafkaException, TopicCollection, TopicPartition, Uuid
from confluent_kafka.admin import AdminClient

from ..errors import TransientError
from ..kafka_settings import kafka_client_config
from ..settings import Settings
from .broker import Position
from .message import Partition

log = structlog.get_logger(__name__)

# How long Kafka may take to answer for positions while a rebalance waits for us.
POSITION_TIMEOUT_SECONDS = 3.0


class KafkaPositions:
    """Positions of partitions of one consumer's group."""

    def __init__(self, settings: Settings, consumer: Consumer) -> None:
        self._consumer = consumer
        self._topics = TopicIds(settings)

    def of(self, partitions: Sequence[Partition]) -> dict[Partition, Position]:
        """Positions of these partitions; blocks for some three seconds at most, and leaves out what had no answer."""
        found: dict[Partition, Position] = {}
        if not partitions:
            return found
        deadline = time.monotonic() + POSITION_TIMEOUT_SECONDS
        try:
            ids = self._topics.of({topic for topic, _ in partitions}, POSITION_TIMEOUT_SECONDS)
            entries = [TopicPartition(*partition) for partition in partitions]
            for entry in self._consumer.committed(entries, timeout=max(0.1, deadline - time.monotonic())):
                left = max(0.1, deadline - time.monotonic())
                marks = self._consumer.get_watermark_offsets(TopicPartition(entry.topic, entry.partition), timeout=left)
                if marks is not None and entry.error is None:
                    committed = entry.offset if entry.offset >= 0 else None
                    found[entry.topic, entry.partition] = Position(marks[0], marks[1], committed, ids[entry.topic])
        except KafkaException as error:
            log.warning("positions_unknown", error=error.args[0].name())
        except TransientError as error:
            log.warning("positions_unknown", error=str(error))
        return found


class TopicIds:
    """The ids that brokers gave to topics: one that was deleted and made anew has another."""

    def __init__(self, settings: Settings) -> None:
        self._client = AdminClient(kafka_client_config(settings))

    def of(self, topics: Collection[str], timeout_seconds: float) -> dict[str, UUID | None]:
        """The id of each topic, None from brokers before 2.8.

        Raises `TransientError` when they do not answer in time, or do not know one of the topics.
        """
        try:
            asked = self._client.describe_topics(TopicCollection(sorted(topics)), request_timeout=timeout_seconds)
            return {topic: _uuid(future.result().topic_id) for topic, future in asked.items()}
        except KafkaException as error:
            raise TransientError(f"the brokers did not say which topic it is ({error.args[0].name()})") from error


def _uuid(given: Uuid) -> UUID | None:
    value = UUID(bytes=urlsafe_b64decode(f"{given}=="))
    return value if value.int else None
