"""A member of a Kafka consumer group. The worker's only file that knows confluent_kafka.

Offsets committed here are advisory: where to start is read from the database. Commits are asynchronous with at most
one outstanding: a synchronous commit, or a close with one outstanding, can hang for ever while brokers are away.
"""

import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import cast

import structlog
from confluent_kafka import (
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka import Message as KafkaMessage

from ..failpoints import reached
from ..settings import Settings
from .broker import ClientLostError, Position, ReadFault, RebalanceListener
from .commit_pace import CommitPace
from .heartbeat_watch import HeartbeatWatch
from .kafka_config import consumer_config
from .kafka_positions import KafkaPositions
from .message import Message, Partition
from .metrics import Metrics
from .reading import Reading
from .unreadable import UNREADABLE

log = structlog.get_logger(__name__)

# Messages taken from the client at once: while they are handed over, one of another lane waits.
POLL_MESSAGES = 200
# Broker's words for a group that a member of the protocol `consumer` cannot join; a fatal error has no code for it.
NO_SUCH_GROUP = "The group id does not exist"
# The client gave up: polled too late, or fenced.
_CLIENT_LOST = (KafkaError._FATAL, KafkaError._MAX_POLL_EXCEEDED)
# The place is not there (any more), or what is there makes no sense.
_FAULTS = UNREADABLE | {KafkaError._AUTO_OFFSET_RESET}


class KafkaBroker:
    """Reads the job topics as a member of the settings' consumer group."""

    def __init__(
        self, settings: Settings, topics: Sequence[str], listener: RebalanceListener, metrics: Metrics
    ) -> None:
        self._listener = listener
        self._metrics = metrics
        self._held: frozenset[str] = frozenset()
        self._reading = Reading()
        self._assigned: set[Partition] = set()
        self._commits = CommitPace()
        self._committed: dict[Partition, int] = {}
        self._closing = False
        self._jumps_counted = 0
        self._heartbeats = HeartbeatWatch(lambda: self._positions.ask(topics))
        callbacks = {"on_commit": self._on_commit, "error_cb": self._on_error, "logger": self._heartbeats}
        self._client = Consumer(consumer_config(settings) | callbacks)
        self._positions = KafkaPositions(settings, self._client)
        self._client.subscribe(
            list(topics), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def poll(self, timeout_seconds: float) -> list[Message]:
        self._reading.begin_poll()
        with _client_errors():
            first = self._client.poll(timeout_seconds)
            received = [] if first is None else [first, *self._client.consume(POLL_MESSAGES - 1, 0)]
        messages = []
        for record in received:
            error = record.error()
            if error is not None:
                self._check(error, record)
            elif self._reading.take(message := _message(record)):
                messages.append(message)
        self.start(self._reading.end_poll())
        if strangers := self._positions.strangers():
            raise ClientLostError(f"{', '.join(strangers)} was deleted and made anew: its leases are taken anew")
        if self._heartbeats.must_rejoin():
            self._metrics.heartbeat_rejoins.inc()
            raise ClientLostError("an answer to a heartbeat came too late: it may have said which partitions are ours")
        self._metrics.position_jumps.inc(self._reading.jumps - self._jumps_counted)
        self._jumps_counted = self._reading.jumps
        return messages

    def unstarted(self) -> list[Partition]:
        return sorted(self._assigned - self._reading.partitions)

    def start(self, offsets: Mapping[Partition, int]) -> None:
        wanted = {partition: offset for partition, offset in offsets.items() if partition in self._assigned}
        if not wanted:
            return
        with _client_errors():
            # Assigning anew sets the position for certain; a seek on a paused partition may be ignored.
            self._client.incremental_unassign(_entries(wanted))
            self._client.incremental_assign([TopicPartition(*key, offset) for key, offset in wanted.items()])
            self._adjust_flow(wanted)
        self._reading.start(wanted)

    def reading(self) -> Mapping[Partition, int]:
        return self._reading.next_offsets()

    def faults(self) -> list[ReadFault]:
        return self._reading.faults()

    def positions(self, partitions: Sequence[Partition]) -> dict[Partition, Position]:
        return self._positions.of(partitions)

    def hold(self, topics: Collection[str]) -> None:
        changed = self._held ^ frozenset(topics)
        self._held = frozenset(topics)
        partitions = [partition for partition in self._reading.next_offsets() if partition[0] in changed]
        self._reading.distrust(partition for partition in partitions if partition[0] not in self._held)
        self._adjust_flow(partitions)

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        changed = {
            p: offset for p, offset in offsets.items() if p in self._reading and self._committed.get(p) != offset
        }
        now = time.monotonic()
        self._metrics.offset_commit_outstanding.set(self._commits.outstanding_seconds(now))
        if not changed or not self._commits.may_begin(now):
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
        self._commits.begin(now)
        self._committed |= changed

    def lag(self, settled: Mapping[Partition, int]) -> int:
        total = 0
        for partition, offset in settled.items():
            if partition in self._reading:
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
        while self._commits.is_outstanding and time.monotonic() < deadline:
            self._client.poll(0.05)

    def _on_assign(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        if self._closing:
            return
        keys = [_key(entry) for entry in partitions]
        self._metrics.rebalances.labels("assigned").inc()
        self._assigned |= set(keys)
        positions = self.positions(keys)
        offsets = self._listener.assigned(positions)
        started = {key: offsets[key] for key in keys if key in offsets}
        withheld = {key: positions[key].first_offset if key in positions else 0 for key in keys if key not in started}
        # Those left out wait at a number, never at "the end" or "the beginning": the client asks the broker for such a
        # place, and takes an answer that comes after `start` for the new position. That skips messages in silence.
        # Paused before they are assigned, so that nothing of them is fetched.
        self._client.pause(_entries(withheld))
        self._client.incremental_assign([TopicPartition(*key, at) for key, at in (withheld | started).items()])
        self._client.pause(_entries(withheld))
        self._adjust_flow(started)
        self._reading.start(started)

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
        self._reading.stop(keys)
        self._assigned -= set(keys)
        for key in keys:
            self._committed.pop(key, None)

    def _adjust_flow(self, partitions: Collection[Partition]) -> None:
        """Pause or resume; the client remembers a pause beyond the end of an assignment, so each start says which."""
        for change, held in ((self._client.pause, True), (self._client.resume, False)):
            if entries := _entries([partition for partition in partitions if (partition[0] in self._held) is held]):
                change(entries)

    def _on_commit(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        self._commits.end(time.monotonic())
        for entry in partitions:
            failed = entry.error if error is None else error
            if failed is not None:
                self._committed.pop(_key(entry), None)  # so that it is told again
                self._metrics.offset_commit_failures.labels(_name(failed)).inc()

    def _on_error(self, error: KafkaError) -> None:
        self._metrics.kafka_errors.labels(_name(error)).inc()
        log.warning("kafka_error", code=_name(error))

    def _check(self, error: KafkaError, record: KafkaMessage) -> None:
        self._metrics.kafka_errors.labels(_name(error)).inc()
        if error.code() in _CLIENT_LOST:
            raise ClientLostError(_what_to_do(error) or f"the Kafka client gave up ({_name(error)}: {error.str()})")
        log.warning("poll_error", code=_name(error), partition=record.partition())
        topic, number = record.topic(), record.partition()
        if error.code() in _FAULTS and topic is not None and number is not None and (topic, number) in self._reading:
            # Not from the record's offset: of a damaged batch that is anything, of a sound one its first message.
            self._reading.fail((topic, number), _name(error))
            self._client.pause([TopicPartition(topic, number)])


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


def _what_to_do(error: KafkaError) -> str | None:
    """What only a person can change, if it is that."""
    if error.code() == KafkaError._FATAL and NO_SUCH_GROUP in error.str():
        return (
            "the group has members of the classic protocol, and brokers do not let this one join them: stop every "
            "worker with DRAGOMAN_GROUP_PROTOCOL=classic, then this one joins by itself (see the runbook)"
        )
    return None
