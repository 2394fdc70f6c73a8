"""The one file of the producer that knows confluent_kafka: publisher, tail of a topic, administration.

Knows no job. Errors of the library become ours here.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, cast
from uuid import uuid4

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from ..errors import ConfigurationError, DragomanError, TransientError
from ..kafka_settings import kafka_client_config
from ..schemas.topics import TOPICS
from ..settings import Settings
from .errors import BrokerUnavailableError, MissingTopicError
from .publisher import DeliveryReport, OnReport, OutgoingMessage

CONTACT_SECONDS = 5.0  # how long a broker has to answer before a person is told that it does not

_CREATION_SECONDS = 15.0
_PAUSE_SECONDS = 0.05  # between two questions to a broker that is not ready
_BUFFER_KBYTES = 256 * 1024  # of messages waiting to be sent, beside the setting that counts them
_MOST_MESSAGES_AT_ONCE = 500

_Client = TypeVar("_Client")
_log = logging.getLogger("dragoman.kafka")
_log.addHandler(logging.NullHandler())  # a library is silent unless its user configures logging


class _Errors:
    """Keeps what the library says about connections: its calls themselves only say that time ran out."""

    def __init__(self) -> None:
        self.cause = ""
        self.config: dict[str, Any] = {"error_cb": self._note, "logger": _log}

    def _note(self, error: KafkaError) -> None:
        if error.code() != KafkaError._ALL_BROKERS_DOWN:  # it follows each cause and says less
            self.cause = error.str()


class KafkaPublisher:
    """Publishes to real brokers: idempotent, acknowledged by all in-sync replicas."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._errors = _Errors()
        self._client = _client(Producer, self._config())

    def check(self, topics: Sequence[str], timeout_seconds: float) -> None:
        """Raise unless a broker answers in time and has the topics."""
        partitions = _metadata(self._client, self._settings, self._errors, timeout_seconds).partitions
        _require(topics, partitions)

    def publish(self, message: OutgoingMessage, on_report: OnReport) -> bool:
        """Hand the message to the client library, or return False when its buffer is full."""

        def report(error: KafkaError | None, sent: Message) -> None:
            on_report(DeliveryReport(error.str() if error else None, sent.partition(), sent.offset()))

        try:
            self._client.produce(
                message.topic, message.value, message.key, headers=list(message.headers), on_delivery=report
            )
        except BufferError:
            return False
        except KafkaException as error:
            if error.args[0].code() == KafkaError._FATAL:
                raise DragomanError(f"the Kafka client gave up for good: {_text(error)}; start it again") from error
            raise TransientError(f"the message could not be published: {_text(error)}") from error
        return True

    def poll(self, timeout_seconds: float) -> None:
        """Serve delivery reports and the library's own errors."""
        self._client.poll(timeout_seconds)

    def close(self) -> None:
        """Drop what is not delivered, and serve the last reports."""
        self._client.purge()
        self._client.flush(1.0)

    def _config(self) -> dict[str, Any]:
        return {
            **kafka_client_config(self._settings),
            "enable.idempotence": True,
            "acks": "all",
            # The Java clients' partitioner: equal keys meet in one partition, whoever publishes them.
            "partitioner": "murmur2_random",
            "compression.type": "lz4",
            "linger.ms": 5,
            "message.timeout.ms": max(1, int(self._settings.delivery_timeout_seconds * 1000)),
            "message.max.bytes": max(topic.max_message_bytes for topic in TOPICS),
            "queue.buffering.max.messages": self._settings.producer_buffer_messages,
            "queue.buffering.max.kbytes": _BUFFER_KBYTES,
            **self._errors.config,
        }


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """A message as it was read."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


class KafkaTail:
    """Reads all partitions of one topic, alone: in no consumer group, committing nothing.

    Its position is taken when it is made: with start "end", it reads what is published afterwards.
    """

    def __init__(self, settings: Settings, topic: str, start: Literal["end", "beginning"] = "end") -> None:
        errors = _Errors()
        self._client = _client(Consumer, {**self._config(settings), **errors.config})
        partitions = _metadata(self._client, settings, errors).partitions
        _require([topic], partitions)
        numbers = range(partitions[topic])
        offsets = [self._end(topic, number) if start == "end" else OFFSET_BEGINNING for number in numbers]
        self._client.assign([TopicPartition(topic, number, offsets[number]) for number in numbers])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def poll(self, timeout_seconds: float) -> list[ReceivedMessage]:
        """Return what has arrived; wait at most so long for the first message."""
        first = self._client.poll(timeout_seconds)
        if first is None:
            return []
        messages = [first, *self._client.consume(_MOST_MESSAGES_AT_ONCE - 1, 0)]
        return [_received(message) for message in messages if not _failed(message)]

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()

    def _end(self, topic: str, partition: int) -> int:
        """Ask where a partition ends, for a while: just after a topic was created, its leaders do not know that."""
        deadline = time.monotonic() + CONTACT_SECONDS
        while True:
            try:
                found = self._client.get_watermark_offsets(TopicPartition(topic, partition), timeout=CONTACT_SECONDS)
            except KafkaException as error:
                if time.monotonic() > deadline:
                    raise BrokerUnavailableError(f"where {topic} ends is not known: {_text(error)}") from error
                time.sleep(_PAUSE_SECONDS)
            else:
                return found[1] if found is not None else OFFSET_BEGINNING

    @staticmethod
    def _config(settings: Settings) -> dict[str, Any]:
        return {
            **kafka_client_config(settings),
            "group.id": f"dragoman-tail-{uuid4()}",  # the library wants one; nothing is ever stored under it
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",  # only where retention overtook us
        }


@dataclass(frozen=True, slots=True)
class ClusterMetadata:
    """How many brokers there are, and how many partitions each topic has."""

    brokers: int
    partitions: Mapping[str, int]


class KafkaAdmin:
    """Looks at topics and creates them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._errors = _Errors()
        self._client = _client(AdminClient, {**kafka_client_config(settings), **self._errors.config})

    def metadata(self) -> ClusterMetadata:
        """Return what the brokers know; raises `BrokerUnavailableError`."""
        return _metadata(self._client, self._settings, self._errors)

    def create(self, topics: Sequence[NewTopic]) -> list[str]:
        """Create topics and return the names of those that someone else had not created meanwhile."""
        created = []
        for name, future in self._client.create_topics(list(topics), operation_timeout=_CREATION_SECONDS).items():
            try:
                future.result(timeout=_CREATION_SECONDS)
                created.append(name)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise TransientError(f"topic {name} could not be created: {_text(error)}") from error
        self._wait_until_seen({topic.topic for topic in topics})
        return created

    def delete_group(self, name: str) -> bool:
        """Delete a consumer group with its committed offsets; False when there is none.

        Raises `DragomanError` while it has members, `TransientError` when brokers do not answer.
        """
        (future,) = self._client.delete_consumer_groups([name], request_timeout=_CREATION_SECONDS).values()
        try:
            future.result()
        except KafkaException as error:
            code = error.args[0].code()
            if code == KafkaError.GROUP_ID_NOT_FOUND:
                return False
            if code == KafkaError.NON_EMPTY_GROUP:
                raise DragomanError(
                    f"the group {name} has members: stop every worker first; one that was killed counts as a member "
                    "until its session has timed out"
                ) from error
            raise TransientError(f"group {name} could not be deleted, try again: {_text(error)}") from error
        return True

    def _wait_until_seen(self, names: set[str]) -> None:
        """Wait until the broker that is asked knows what the controller created: a moment later."""
        deadline = time.monotonic() + _CREATION_SECONDS
        while not names <= self.metadata().partitions.keys():
            if time.monotonic() > deadline:
                raise TransientError(f"created topics are not seen after {_CREATION_SECONDS:g} s: look at the brokers")
            time.sleep(_PAUSE_SECONDS)


def new_topic(name: str, partitions: int, replicas: int, configuration: Mapping[str, str]) -> NewTopic:
    """Describe a topic to be created."""
    return NewTopic(name, num_partitions=partitions, replication_factor=replicas, config=dict(configuration))


def _client(make: Callable[[dict[str, Any]], _Client], config: dict[str, Any]) -> _Client:
    try:
        return make(config)
    except (KafkaException, ValueError, TypeError) as error:
        raise ConfigurationError(f"the Kafka settings are not usable: {_text(error)}") from error


def _metadata(
    client: Any, settings: Settings, errors: _Errors, timeout_seconds: float = CONTACT_SECONDS
) -> ClusterMetadata:
    try:
        # All topics, never one by name: asking for a name can create it on brokers that allow that.
        found = client.list_topics(timeout=timeout_seconds)
    except KafkaException as error:
        raise BrokerUnavailableError(
            f"no Kafka broker answered at {settings.kafka_bootstrap_servers} within {timeout_seconds:g} s "
            f"({errors.cause or _text(error)}): is it running? `dragoman up` starts a local one, "
            "DRAGOMAN_KAFKA_BOOTSTRAP_SERVERS names another"
        ) from error
    return ClusterMetadata(len(found.brokers), {name: len(topic.partitions) for name, topic in found.topics.items()})


def _require(topics: Sequence[str], partitions: Mapping[str, int]) -> None:
    missing = [topic for topic in topics if not partitions.get(topic)]
    if missing:
        raise MissingTopicError(f"topic {', '.join(missing)} does not exist: run `dragoman topics create`")


def _failed(message: Message) -> bool:
    """Say whether this is an error that passes by itself; raise the others."""
    error = message.error()
    if error is None:
        return False
    if error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
        raise MissingTopicError(f"topic {message.topic()} does not exist any more: run `dragoman topics create`")
    if error.code() == KafkaError._FATAL:  # .fatal() is not true for it in every case
        raise TransientError(f"the Kafka client gave up: {error.str()}")
    return True


def _received(message: Message) -> ReceivedMessage:
    return ReceivedMessage(
        topic=message.topic() or "",
        partition=-1 if message.partition() is None else int(message.partition() or 0),
        offset=int(message.offset() or 0),
        key=message.key(),
        value=message.value(),
        headers=cast("list[tuple[str, bytes | None]]", message.headers() or []),
    )


def _text(error: BaseException) -> str:
    cause = error.args[0] if error.args else error
    return cause.str() if isinstance(cause, KafkaError) else str(cause)
