"""Asks brokers where partitions begin and end, what the group committed, which topic it is.

Knows confluent_kafka; decides nothing.
"""

import time
from base64 import urlsafe_b64decode
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any
from uuid import UUID

import structlog
from confluent_kafka import Consumer, IsolationLevel, KafkaException, TopicCollection, TopicPartition, Uuid
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from ..errors import TransientError
from ..kafka_settings import kafka_client_config
from ..settings import Settings
from .broker import Position
from .message import Partition

log = structlog.get_logger(__name__)

# How long Kafka may take to answer for positions while a rebalance waits for us.
POSITION_TIMEOUT_SECONDS = 3.0
EARLIEST, LATEST = OffsetSpec.earliest(), OffsetSpec.latest()  # type: ignore[no-untyped-call]
# How long a topic that was made anew may go unnoticed.
WATCH_SECONDS = 5.0


class KafkaPositions:
    """Positions of partitions of one consumer's group."""

    def __init__(self, settings: Settings, consumer: Consumer) -> None:
        self._consumer = consumer
        self._topics = TopicFacts(settings)
        self._watch = TopicWatch(self._topics)

    def of(self, partitions: Sequence[Partition]) -> dict[Partition, Position]:
        """Positions of these partitions; blocks for some three seconds at most, and leaves out what had no answer."""
        if not partitions:
            return {}
        deadline = time.monotonic() + POSITION_TIMEOUT_SECONDS
        try:
            ids = self._topics.of({topic for topic, _ in partitions}, POSITION_TIMEOUT_SECONDS)
            self._watch.learn(ids)
            left = max(0.1, deadline - time.monotonic())
            ends = self._topics.ends(partitions, left)
            committed = self._consumer.committed([TopicPartition(*partition) for partition in partitions], timeout=left)
            return _positions(committed, ends.found(), ids)
        except KafkaException as error:
            log.warning("positions_unknown", error=error.args[0].name())
        except TransientError as error:
            log.warning("positions_unknown", error=str(error))
        return {}

    def ask(self, topics: Collection[str]) -> "Answer":
        """Ask for the ids of these topics and do not wait; raises `TransientError`."""
        return self._topics.ask(topics, POSITION_TIMEOUT_SECONDS)

    def strangers(self) -> list[str]:
        """Topics that were made anew since we began to read them."""
        return self._watch.strangers()


class TopicWatch:
    """Notices that a topic was made anew while it was read; asks from time to time and waits for no answer.

    A client of the classic protocol reads on in the new topic where it stood in the old one.
    """

    def __init__(self, topics: "TopicFacts", clock: Callable[[], float] = time.monotonic) -> None:
        self._topics = topics
        self._clock = clock
        self._known: dict[str, UUID | None] = {}
        self._asked: Answer | None = None
        self._asked_at_seconds = clock()

    def learn(self, ids: Mapping[str, UUID | None]) -> None:
        """These are the topics that are read; the first id of each is the one that counts."""
        self._known = {**ids, **self._known}

    def strangers(self) -> list[str]:
        """Topics that are not those that we began to read."""
        if self._asked is None:
            if self._known and self._clock() - self._asked_at_seconds >= WATCH_SECONDS:
                self._asked = self._topics.ask(self._known, POSITION_TIMEOUT_SECONDS)
                self._asked_at_seconds = self._clock()
            return []
        if not self._asked.is_there:
            return []
        answer, self._asked = self._asked, None
        try:
            return [topic for topic, found in answer.ids().items() if found != self._known[topic]]
        except TransientError:
            return []  # asked again, and a topic that is gone is not read


class Answer:
    """What brokers will say about topics."""

    def __init__(self, futures: "Mapping[str, Future[Any]]") -> None:
        self._futures = futures

    @property
    def is_there(self) -> bool:
        return all(future.done() for future in self._futures.values())

    def ids(self) -> dict[str, UUID | None]:
        """Wait for the ids; raises `TransientError` when they do not come in time, or a topic is unknown."""
        return {topic: _uuid(told.topic_id) for topic, told in self._told().items()}

    def partitions(self) -> dict[str, int]:
        """Wait for how many partitions each topic has; raises `TransientError` as `ids` does."""
        return {topic: len(told.partitions) for topic, told in self._told().items()}

    def _told(self) -> dict[str, Any]:
        try:
            return {topic: future.result() for topic, future in self._futures.items()}
        except KafkaException as error:
            raise _unknown(error) from error


class Ends:
    """What brokers will say about where partitions begin and end."""

    def __init__(self, client: AdminClient, partitions: Collection[Partition], timeout_seconds: float) -> None:
        first, last = ({TopicPartition(*key): which for key in partitions} for which in (EARLIEST, LATEST))
        self._first = client.list_offsets(first, request_timeout=timeout_seconds)
        # As a consumer reads: what an open transaction has written does not count yet.
        self._last = client.list_offsets(
            last, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=timeout_seconds
        )

    def found(self) -> dict[Partition, tuple[int, int]]:
        """Wait for first offset and end of each partition; leaves out those whose broker did not say."""
        found: dict[Partition, tuple[int, int]] = {}
        unknown: KafkaException | None = None
        for partition, first in self._first.items():
            try:
                last = self._last[partition].result()
                found[partition.topic, partition.partition] = (first.result().offset, last.offset)
            except KafkaException as error:
                unknown = error
        if unknown is not None:
            log.warning("positions_unknown", error=unknown.args[0].name())
        return found


class TopicFacts:
    """What brokers know of topics: ids (one that was deleted and made anew has another), partitions and their ends.

    Asked over connections of its own: on a consumer's, whatever is asked waits until its fetch of no messages is over.
    """

    def __init__(self, settings: Settings) -> None:
        self._client = AdminClient(kafka_client_config(settings))

    def ends(self, partitions: Collection[Partition], timeout_seconds: float) -> Ends:
        """Ask where these partitions begin and end and do not wait; raises `TransientError`."""
        try:
            return Ends(self._client, partitions, timeout_seconds)
        except KafkaException as error:
            raise _unknown(error) from error

    def of(self, topics: Collection[str], timeout_seconds: float) -> dict[str, UUID | None]:
        """The id of each topic, None from brokers before 2.8.

        Raises `TransientError` when they do not answer in time, or do not know one of the topics.
        """
        return self.ask(topics, timeout_seconds).ids()

    def ask(self, topics: Collection[str], timeout_seconds: float) -> Answer:
        """Ask for the ids and do not wait."""
        try:
            collection = TopicCollection(sorted(topics))
            return Answer(self._client.describe_topics(collection, request_timeout=timeout_seconds))
        except KafkaException as error:
            raise _unknown(error) from error


def _positions(
    committed: Iterable[TopicPartition], ends: Mapping[Partition, tuple[int, int]], ids: Mapping[str, UUID | None]
) -> dict[Partition, Position]:
    found: dict[Partition, Position] = {}
    for entry in committed:
        marks = ends.get((entry.topic, entry.partition))
        if marks is not None and entry.error is None:
            offset = entry.offset if entry.offset >= 0 else None
            found[entry.topic, entry.partition] = Position(*marks, offset, ids[entry.topic])
    return found


def _unknown(error: KafkaException) -> TransientError:
    return TransientError(f"the brokers did not say what they know of the topics ({error.args[0].name()})")


def _uuid(given: Uuid) -> UUID | None:
    value = UUID(bytes=urlsafe_b64decode(f"{given}=="))
    return value if value.int else None
