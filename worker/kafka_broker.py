"""A member of a Kafka consumer group. The worker's only file that knows confluent_kafka.

Offsets committed here are advisory: where to start is read from the database. Commits are asynchronous with at most
one outstanding: a synchronous commit, or a close with one outstanding, can hang for ever while brokers are away.
"""

import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import structlog
from confluent_kafka import (
    OFFSET_END,
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka import Message as KafkaMessage

from ..failpoints import reached
from ..kafka_settings import kafka_client_config
from ..settings import Settings
from .broker import ClientLostError, Position, RebalanceListener
from .message import Message, Partition
from .metrics import Metrics

log = structlog.get_logger(__name__)

# Messages taken from the client at once.
POLL_MESSAGES = 500
# How long Kafka may take to answer for positions while a rebalance waits for us.
POSITION_TIMEOUT_SECONDS = 3.0
COMMIT_SECONDS = 1.0
# Fetched and not yet polled: two batches' worth; the defaults hoard what other workers could do.
QUEUED_MESSAGES, QUEUED_KBYTES = 2_000, 16_384
# The client gave up: polled too late, or fenced.
_CLIENT_LOST = (KafkaError._FATAL, KafkaError._MAX_POLL_EXCEEDED, KafkaError._AUTO_OFFSET_RESET)


class KafkaBroker:
    """Reads the job topics as a member of the settings' consumer group."""

    def __init__(
        self, settings: Settings, topics: Sequence[str], listener: RebalanceListener, metrics: Metrics
    ) -> None:
        self._listener = listener
        self._metrics = metrics
        self._paused = False
        self._started: set[Partition] = set()
        self._assigned: set[Partition] = set()
        self._moved: dict[Partition, int] = {}  # positions set during the present poll
        self._commit_outstanding = False
        self._committed: dict[Partition, int] = {}
        self._committed_at_seconds = 0.0
        self._closing = False
        self._client = Consumer(consumer_config(settings) | {"on_commit": self._on_commit, "error_cb": self._on_error})
        self._client.subscribe(
            list(topics), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def poll(self, timeout_seconds: float) -> list[Message]:
        self._moved.clear()
        with _client_errors():
            first = self._client.poll(timeout_seconds)
            received = [] if first is None else [first, *self._client.consume(POLL_MESSAGES - 1, 0)]
        messages = []
        for record in received:
            error = record.error()
            if error is not None:
                self._check(error)
            else:
                messages.append(_message(record))
        self._read_again({message.partition for message in messages} & self._moved.keys())
        return [m for m in messages if m.partition in self._started and m.partition not in self._moved]

    def _read_again(self, partitions: set[Partition]) -> None:
        """A partition that was assigned while we polled may have messages of its former position in the batch.

        They are dropped, and it is read from its start once more: a gap before them would go unnoticed.
        """
        self.start({partition: self._moved[partition] for partition in partitions})

    def unstarted(self) -> list[Partition]:
        return sorted(self._assigned - self._started)

    def start(self, offsets: Mapping[Partition, int]) -> None:
        wanted = {partition: offset for partition, offset in offsets.items() if partition in self._assigned}
        if not wanted:
            return
        with _client_errors():
            # Assigning anew sets the position for certain; a seek on a paused partition may be ignored.
            self._client.incremental_unassign(_entries(wanted))
            self._client.incremental_assign([TopicPartition(*key, offset) for key, offset in wanted.items()])
            self._adjust_flow(wanted)
        self._started |= wanted.keys()
        self._moved.update(wanted)

    def positions(self, partitions: Sequence[Partition]) -> dict[Partition, Position]:
        found: dict[Partition, Position] = {}
        if not partitions:
            return found
        deadline = time.monotonic() + POSITION_TIMEOUT_SECONDS
        try:
            for entry in self._client.committed(_entries(partitions), timeout=POSITION_TIMEOUT_SECONDS):
                left = max(0.1, deadline - time.monotonic())
                marks = self._client.get_watermark_offsets(TopicPartition(entry.topic, entry.partition), timeout=left)
                if marks is not None and entry.error is None:
                    committed = entry.offset if entry.offset >= 0 else None
                    found[_key(entry)] = Position(marks[0], marks[1], committed)
        except KafkaException as error:
            log.warning("positions_unknown", error=_name(error.args[0]))
        return found

    def pause(self) -> None:
        self._paused = True
        self._adjust_flow(self._started)

    def resume(self) -> None:
        self._paused = False
        self._adjust_flow(self._started)

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        changed = {
            p: offset for p, offset in offsets.items() if p in self._started and self._committed.get(p) != offset
        }
        now = time.monotonic()
        if not changed or self._commit_outstanding or now - self._committed_at_seconds < COMMIT_SECONDS:
            return
        reached("before-offset-commit")
        try:
            self._client.commit(
                offsets=[TopicPartition(*partition, offset) for partition, offset in changed.items()],
                asynchronous=True,
            )
        except KafkaException as error:
            self._metrics.offset_commit_failures.labels(_name(error.args[0])).inc()
            return
        self._commit_outstanding, self._committed_at_seconds = True, now
        self._committed |= changed

    def lag(self, settled: Mapping[Partition, int]) -> int:
        total = 0
        for partition, offset in settled.items():
            if partition in self._started:
                marks = self._client.get_watermark_offsets(TopicPartition(*partition), cached=True)
                total += max(0, marks[1] - offset) if marks is not None else 0
        return total

    def close(self, timeout_seconds: float) -> bool:
        # From here on the listener hears nothing: a close that is late would take partitions from our successor.
        self._closing = True
        self._wait_for_commit(timeout_seconds / 2)
        closing = threading.Thread(target=self._client.close, name="kafka-close", daemon=True)
        closing.start()
        closing.join(timeout_seconds / 2)
        return not closing.is_alive()

    def _wait_for_commit(self, timeout_seconds: float) -> None:
        deadline = time.monotonic() + timeout_seconds
        while self._commit_outstanding and time.monotonic() < deadline:
            self._client.poll(0.05)

    def _on_assign(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        if self._closing:
            return
        keys = [_key(entry) for entry in partitions]
        self._metrics.rebalances.labels("assigned").inc()
        self._assigned |= set(keys)
        offsets = self._listener.assigned(self.positions(keys))
        started = {key: offsets[key] for key in keys if key in offsets}
        # Those left out wait at the end, paused: without a position the client would go by committed offsets, and
        # give up where there are none.
        self._client.incremental_assign([TopicPartition(*key, started.get(key, OFFSET_END)) for key in keys])
        self._client.pause(_entries(set(keys) - started.keys()))
        self._adjust_flow(started)
        self._started |= started.keys()
        self._moved.update(started)

    def _on_revoke(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        keys = [_key(entry) for entry in partitions]
        self._metrics.rebalances.labels("revoked").inc()
        self._forget(keys)
        if not self._closing:
            self._listener.revoked(keys)
        self._client.incremental_unassign(partitions)

    def _on_lost(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        keys = [_key(entry) for entry in partitions]
        self._metrics.rebalances.labels("lost").inc()
        self._forget(keys)
        if not self._closing:
            self._listener.lost(keys)
        self._client.incremental_unassign(partitions)

    def _forget(self, keys: Sequence[Partition]) -> None:
        self._started -= set(keys)
        self._assigned -= set(keys)
        for key in keys:
            self._committed.pop(key, None)

    def _adjust_flow(self, partitions: Collection[Partition]) -> None:
        """Pause or resume; the client remembers a pause beyond the end of an assignment, so each start says which."""
        if partitions:
            (self._client.pause if self._paused else self._client.resume)(_entries(partitions))

    def _on_commit(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        self._commit_outstanding = False
        for entry in partitions:
            failed = entry.error if error is None else error
            if failed is not None:
                self._committed.pop(_key(entry), None)  # so that it is told again
                self._metrics.offset_commit_failures.labels(_name(failed)).inc()

    def _on_error(self, error: KafkaError) -> None:
        self._metrics.kafka_errors.labels(_name(error)).inc()
        log.warning("kafka_error", code=_name(error))

    def _check(self, error: KafkaError) -> None:
        self._metrics.kafka_errors.labels(_name(error)).inc()
        if error.code() in _CLIENT_LOST:
            raise ClientLostError(f"the Kafka client gave up ({_name(error)}: {error.str()})")
        log.warning("poll_error", code=_name(error))


def consumer_config(settings: Settings) -> dict[str, Any]:
    """The librdkafka configuration of a worker's consumer; holds the password."""
    config: dict[str, Any] = kafka_client_config(settings) | {
        "group.id": settings.topic_prefix + settings.consumer_group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        # Where to start is our decision, never a silent jump to either end.
        "auto.offset.reset": "error",
        "max.poll.interval.ms": 120_000,
        "queued.min.messages": QUEUED_MESSAGES,
        "queued.max.messages.kbytes": QUEUED_KBYTES,
        "check.crcs": True,
        "group.protocol": settings.group_protocol,
    }
    if settings.group_protocol == "classic":
        config["partition.assignment.strategy"] = "cooperative-sticky"
        config["session.timeout.ms"] = int(settings.session_timeout_seconds * 1000)
    return config


def _message(record: KafkaMessage) -> Message:
    kind, milliseconds = record.timestamp()
    return Message(
        topic=cast("str", record.topic()),
        partition_number=cast("int", record.partition()),
        offset=cast("int", record.offset()),
        key=record.key(),
        value=record.value(),
        headers=tuple(cast("list[tuple[str, bytes | None]]", record.headers() or [])),
        timestamp_seconds=0.0 if kind == TIMESTAMP_NOT_AVAILABLE else milliseconds / 1000,
    )


@contextmanager
def _client_errors() -> Iterator[None]:
    try:
        yield
    except KafkaException as error:
        raise ClientLostError(f"the Kafka client refused a call ({_name(error.args[0])})") from error


def _entries(partitions: Collection[Partition]) -> list[TopicPartition]:
    return [TopicPartition(*partition) for partition in partitions]


def _key(entry: TopicPartition) -> Partition:
    return (entry.topic, entry.partition)


def _name(error: KafkaError) -> str:
    return str(error.name())
