"""One suite for every broker: the one in memory, and Kafka with either group protocol."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import pytest
from dragoman.compose.local import LocalStack
from dragoman.producer.kafka import KafkaAdmin, KafkaPublisher, new_topic
from dragoman.producer.publisher import OutgoingMessage
from dragoman.settings import Settings
from dragoman.worker.broker import Broker, Position, ReadFault
from dragoman.worker.kafka_broker import KafkaBroker
from dragoman.worker.lane_brokers import LaneBrokers
from dragoman.worker.memory_broker import MemoryBroker, MemoryCluster
from dragoman.worker.message import Message, Partition
from dragoman.worker.metrics import Metrics

# Nothing here waits so long unless it fails.
PATIENCE_SECONDS = 30.0
# Long enough for a message that must not come to come all the same.
QUIET_SECONDS = 0.5


@dataclass
class Listener:
    """Starts every partition where Kafka says, unless told otherwise; writes down what it hears."""

    offsets: dict[Partition, int] = field(default_factory=dict)
    withheld: set[Partition] = field(default_factory=set)
    positions: dict[Partition, Position] = field(default_factory=dict)
    held: set[Partition] = field(default_factory=set)
    revocations: list[Partition] = field(default_factory=list)

    def assigned(self, positions: Mapping[Partition, Position]) -> Mapping[Partition, int]:
        self.positions |= positions
        self.held |= positions.keys()
        wanted = {p: self.offsets.get(p, position.start) for p, position in positions.items()}
        return {p: offset for p, offset in wanted.items() if p not in self.withheld}

    def revoked(self, partitions: Sequence[Partition]) -> None:
        self.revocations += partitions
        self.held -= set(partitions)

    def lost(self, partitions: Sequence[Partition]) -> None:
        self.held -= set(partitions)


class Cluster(Protocol):
    """Two partitions, and one group that reads them."""

    partitions: tuple[Partition, Partition]

    def publish(self, partition: Partition, count: int) -> None: ...

    def join(self, listener: Listener) -> Broker: ...


class InMemory:
    def __init__(self) -> None:
        self.partitions = (("jobs", 0), ("jobs", 1))
        self._cluster = MemoryCluster(self.partitions)

    def publish(self, partition: Partition, count: int) -> None:
        for number in range(count):
            self._cluster.publish(partition, f"{number}".encode())

    def join(self, listener: Listener) -> Broker:
        return MemoryBroker(self._cluster, "group", listener)


class LanesInMemory(InMemory):
    """The partitions in the second of two lanes; the first is empty."""

    def join(self, listener: Listener) -> Broker:
        empty = MemoryBroker(MemoryCluster([]), "group", listener)
        return LaneBrokers({"urgent": empty, self.partitions[0][0]: super().join(listener)})


class OnKafka:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        topic = f"{settings.topic_prefix}jobs"
        self.partitions = ((topic, 0), (topic, 1))
        KafkaAdmin(settings).create([new_topic(topic, 2, 1, {})])
        self._publisher = KafkaPublisher(settings)
        # Keys whose murmur2 hash lies in partition 0 and in partition 1.
        self._keys = {(topic, 0): b"a", (topic, 1): b"d"}
        self._brokers: list[KafkaBroker] = []

    def publish(self, partition: Partition, count: int) -> None:
        arrived: list[int | None] = []
        for number in range(count):
            message = OutgoingMessage(partition[0], self._keys[partition], f"{number}".encode(), [])
            self._publisher.publish(message, lambda report: arrived.append(report.partition))
        until(lambda: self._publisher.poll(0.1), lambda: len(arrived) == count)
        assert set(arrived) <= {partition[1]}

    def join(self, listener: Listener) -> Broker:
        broker = KafkaBroker(self._settings, [self.partitions[0][0]], listener, Metrics())
        self._brokers.append(broker)
        return broker

    def close(self) -> None:
        for broker in self._brokers:
            broker.close(5.0)
        self._publisher.close()


def until(action: Callable[[], object], reached: Callable[[], bool]) -> None:
    """Repeat an action that waits by itself until something is reached."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not reached():
        assert time.monotonic() < deadline, "it never came to that"
        action()


def read(broker: Broker, count: int) -> list[Message]:
    """Poll until there are at least `count` messages."""
    messages: list[Message] = []
    until(lambda: messages.extend(broker.poll(0.1)), lambda: len(messages) >= count)
    return messages


def read_for(broker: Broker, seconds: float) -> list[Message]:
    """Poll for a while."""
    messages: list[Message] = []
    end = time.monotonic() + seconds
    until(lambda: messages.extend(broker.poll(0.1)), lambda: time.monotonic() >= end)
    return messages


def offsets(messages: Sequence[Message], partition: Partition) -> list[int]:
    return [message.offset for message in messages if message.partition == partition]


def hold(broker: Broker, listener: Listener, count: int) -> None:
    """Poll until the member holds so many partitions."""
    until(lambda: broker.poll(0.1), lambda: len(listener.held) == count)


def only(listener: Listener) -> Partition:
    (held,) = listener.held
    return held


class MembershipContract:
    """What a group promises its members."""

    def test_a_partition_changes_hands_when_a_second_member_joins(self, cluster: Cluster) -> None:
        listener, newcomer = Listener(), Listener()
        broker = cluster.join(listener)
        hold(broker, listener, 2)
        other = cluster.join(newcomer)
        until(lambda: (broker.poll(0.1), other.poll(0.1)), lambda: len(listener.held) == len(newcomer.held) == 1)
        assert set(listener.revocations) == newcomer.held
        assert listener.held | newcomer.held == set(cluster.partitions)

        cluster.publish(only(newcomer), 2)
        cluster.publish(only(listener), 1)
        assert {message.partition for message in read(broker, 1) + read_for(broker, QUIET_SECONDS)} == listener.held
        assert {message.partition for message in read(other, 2)} == newcomer.held

    def test_partitions_come_to_the_others_when_a_member_leaves(self, cluster: Cluster) -> None:
        listener, heir = Listener(), Listener()
        broker = cluster.join(listener)
        hold(broker, listener, 2)
        assert broker.close(10.0)
        hold(cluster.join(heir), heir, 2)
        assert heir.held == set(cluster.partitions)

    def test_a_later_member_is_told_the_committed_offset(self, cluster: Cluster) -> None:
        first, second = cluster.partitions
        cluster.publish(first, 3)
        broker = cluster.join(Listener())
        read(broker, 3)
        broker.commit({first: 2})
        assert broker.close(10.0)

        heir = Listener()
        hold(cluster.join(heir), heir, 2)
        assert heir.positions == {first: Position(0, 3, 2), second: Position(0, 0)}
        assert heir.positions[first].start == 2

    def test_the_listener_hears_nothing_when_the_broker_is_closed(self, cluster: Cluster) -> None:
        listener = Listener()
        broker = cluster.join(listener)
        hold(broker, listener, 2)
        assert broker.close(10.0)
        assert listener.revocations == []


class BrokerContract(MembershipContract):
    """What every broker promises; a subclass brings the `cluster`."""

    def test_messages_come_in_order_from_where_the_listener_said_when_partitions_are_assigned(
        self, cluster: Cluster
    ) -> None:
        first, second = cluster.partitions
        cluster.publish(first, 5)
        cluster.publish(second, 3)
        messages = read(cluster.join(Listener(offsets={first: 2})), 6)
        assert offsets(messages, first) == [2, 3, 4]
        assert offsets(messages, second) == [0, 1, 2]
        assert [message.value for message in messages if message.partition == second] == [b"0", b"1", b"2"]

    def test_the_position_of_an_empty_partition_is_its_beginning(self, cluster: Cluster) -> None:
        listener = Listener()
        broker = cluster.join(listener)
        hold(broker, listener, 2)
        assert listener.positions == broker.positions(cluster.partitions)
        assert set(listener.positions.values()) == {Position(0, 0)}

    def test_a_partition_delivers_nothing_until_it_is_started_when_the_listener_left_it_out(
        self, cluster: Cluster
    ) -> None:
        first, second = cluster.partitions
        cluster.publish(first, 3)
        cluster.publish(second, 1)
        listener = Listener(withheld={first})
        broker = cluster.join(listener)
        messages = read(broker, 1)
        hold(broker, listener, 2)
        assert offsets(messages + read_for(broker, QUIET_SECONDS), first) == []
        assert broker.unstarted() == [first]

        broker.start({first: 1})
        assert offsets(read(broker, 2), first) == [1, 2]
        assert broker.unstarted() == []

    def test_a_partition_is_read_from_its_start_when_it_is_started_as_soon_as_it_came(self, cluster: Cluster) -> None:
        # The client must not have a question to the broker under way then: its answer would move the partition.
        first, second = cluster.partitions
        cluster.publish(first, 3)
        cluster.publish(second, 3)
        listener = Listener(withheld={first, second})
        broker = cluster.join(listener)
        until(lambda: broker.poll(0), lambda: len(listener.held) == 2)
        broker.start({first: 1, second: 0})
        messages = read(broker, 5)
        assert offsets(messages, first) == [1, 2]
        assert offsets(messages, second) == [0, 1, 2]

    def test_nothing_comes_while_the_broker_is_paused_and_everything_when_it_is_resumed(self, cluster: Cluster) -> None:
        first, _ = cluster.partitions
        cluster.publish(first, 2)
        broker = cluster.join(Listener())
        assert offsets(read(broker, 2), first) == [0, 1]

        broker.hold({partition[0] for partition in cluster.partitions})
        cluster.publish(first, 3)
        assert read_for(broker, QUIET_SECONDS) == []
        broker.hold(())
        assert offsets(read(broker, 3), first) == [2, 3, 4]

    def test_only_the_topics_that_are_held_are_silent(self, cluster: Cluster) -> None:
        first, _ = cluster.partitions
        broker = cluster.join(Listener())
        broker.hold({"another"})
        cluster.publish(first, 2)
        assert offsets(read(broker, 2), first) == [0, 1]
        broker.hold({first[0], "another"})
        cluster.publish(first, 1)
        assert read_for(broker, QUIET_SECONDS) == []
        broker.hold({"another"})
        assert offsets(read(broker, 1), first) == [2]

    def test_partitions_that_come_during_a_pause_are_paused_too(self, cluster: Cluster) -> None:
        first, _ = cluster.partitions
        cluster.publish(first, 2)
        listener = Listener()
        broker = cluster.join(listener)
        broker.hold({partition[0] for partition in cluster.partitions})
        hold(broker, listener, 2)
        assert read_for(broker, QUIET_SECONDS) == []
        broker.hold(())
        assert offsets(read(broker, 2), first) == [0, 1]

    def test_a_partition_that_is_started_during_a_pause_waits_for_its_end(self, cluster: Cluster) -> None:
        first, _ = cluster.partitions
        cluster.publish(first, 2)
        listener = Listener(withheld=set(cluster.partitions))
        broker = cluster.join(listener)
        hold(broker, listener, 2)
        broker.hold({partition[0] for partition in cluster.partitions})
        broker.start({first: 1})
        assert read_for(broker, QUIET_SECONDS) == []
        broker.hold(())
        assert offsets(read(broker, 1), first) == [1]

    def test_a_pause_does_not_follow_a_partition_that_goes_and_comes_back(self, cluster: Cluster) -> None:
        first, second = cluster.partitions
        listener, guest = Listener(), Listener()
        broker = cluster.join(listener)
        hold(broker, listener, 2)
        broker.hold({partition[0] for partition in cluster.partitions})
        other = cluster.join(guest)
        until(lambda: (broker.poll(0.1), other.poll(0.1)), lambda: len(listener.held) == len(guest.held) == 1)
        broker.hold(())
        assert other.close(10.0)
        hold(broker, listener, 2)
        cluster.publish(first, 1)
        cluster.publish(second, 1)
        assert {message.partition for message in read(broker, 2)} == {first, second}

    def test_the_place_of_each_partition_that_is_read_is_known(self, cluster: Cluster) -> None:
        first, second = cluster.partitions
        cluster.publish(first, 3)
        listener = Listener(withheld={second})
        broker = cluster.join(listener)
        messages = read(broker, 3)
        hold(broker, listener, 2)
        assert offsets(messages, first) == [0, 1, 2]
        assert (broker.reading(), broker.faults()) == ({first: 3}, [])

    def test_lag_counts_what_is_behind_the_settled_offsets(self, cluster: Cluster) -> None:
        first, _ = cluster.partitions
        cluster.publish(first, 4)
        broker = cluster.join(Listener())
        read(broker, 4)
        assert broker.lag({first: 1}) == 3


class TestMemoryBroker(BrokerContract):
    @pytest.fixture
    def cluster(self) -> Cluster:
        return InMemory()

    def test_a_partition_stops_where_it_cannot_be_read_until_it_is_started_behind_that(self) -> None:
        memory = MemoryCluster([("jobs", 0)])
        for _ in range(4):
            memory.publish(("jobs", 0), b"")
        memory.damage(("jobs", 0), 1)
        broker = MemoryBroker(memory, "group", Listener())
        assert offsets(broker.poll(0), ("jobs", 0)) == [0]
        assert (broker.faults(), broker.reading()) == ([ReadFault(("jobs", 0), 1, "damaged")], {})
        assert broker.poll(0) == []
        broker.start({("jobs", 0): 2})
        assert offsets(broker.poll(0), ("jobs", 0)) == [2, 3]
        assert broker.faults() == []


class TestLaneBrokers(BrokerContract):
    @pytest.fixture
    def cluster(self) -> Cluster:
        return LanesInMemory()


@pytest.mark.services
class TestKafkaBroker(BrokerContract):
    @pytest.fixture
    def cluster(self, stack: LocalStack, topic_prefix: str) -> Iterator[Cluster]:
        yield from kafka_cluster(stack, topic_prefix, "consumer")


@pytest.mark.services
class TestKafkaBrokerInTheClassicProtocol(MembershipContract):
    """The protocols differ in how a group comes about, not in how a member reads."""

    @pytest.fixture
    def cluster(self, stack: LocalStack, topic_prefix: str) -> Iterator[Cluster]:
        yield from kafka_cluster(stack, topic_prefix, "classic")


def kafka_cluster(stack: LocalStack, topic_prefix: str, protocol: Literal["consumer", "classic"]) -> Iterator[Cluster]:
    kafka = OnKafka(
        Settings(
            kafka_bootstrap_servers=stack.kafka_bootstrap_servers,
            topic_prefix=topic_prefix,
            consumer_group=topic_prefix,
            group_protocol=protocol,
        )
    )
    yield kafka
    kafka.close()
