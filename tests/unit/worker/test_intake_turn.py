"""The polling thread, on a broker in memory and without a database: its leases are given by the test."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from dragoman.storage.engine import create_database_engine
from dragoman.worker import stall_watch
from dragoman.worker.broker import ClientLostError, Position
from dragoman.worker.intake import Intake, IntakeLimits
from dragoman.worker.memory_broker import MemoryBroker, MemoryCluster
from dragoman.worker.message import Message, Partition
from dragoman.worker.pipeline import Pipeline
from dragoman.worker.scheduling.pool import Pool

FRENCH = Pool("en", "fr", "echo@0", 4, 1.0)


class LeasesInMemory(Intake):
    """Takes a lease without asking anybody."""

    def assigned(self, positions: Mapping[Partition, Position]) -> Mapping[Partition, int]:
        for partition in positions:
            self._pipeline.assignments.add(partition, 1, 0)
        return dict.fromkeys(positions, 0)


class Bench:
    """One worker's intake, its broker, and the cluster behind it."""

    def __init__(self, build: Any, limits: IntakeLimits) -> None:
        self.build = build
        self.partition: Partition = build.partition()
        self.cluster = MemoryCluster([self.partition])
        self.pipeline: Pipeline = build.pipeline()
        self.pipeline.assignments.remove([self.partition])
        self.limits = limits
        self.nowhere = create_database_engine("postgresql://nobody@127.0.0.1:1/none")
        self.intake = LeasesInMemory(self.pipeline, self.nowhere, limits)
        self.broker = MemoryBroker(self.cluster, "group", self.intake)

    def publish(self, count: int, value: bytes = b"{}") -> None:
        for _ in range(count):
            self.cluster.publish(self.partition, value)

    def turn(self) -> Sequence[int]:
        """Offsets that one turn hands over."""
        self.intake.turn(self.broker)
        inbox = self.pipeline.inbox
        if deliveries := inbox.interactive.gather(1, 0.0) + inbox.bulk.gather(1, 0.0):
            self.deliveries = deliveries
        return [delivery.message.offset for delivery in deliveries]


@pytest.fixture
def bench(build: Any) -> Bench:
    return Bench(build, IntakeLimits(in_flight_jobs=4, in_flight_bytes=1_000, drain_seconds=0.0))


def test_polled_messages_are_handed_over_in_flight(bench: Bench) -> None:
    bench.publish(3)
    assert bench.turn() == [0, 1, 2]
    assert bench.pipeline.assignments.in_flight().jobs == 3


@pytest.mark.parametrize(("count", "value"), [(4, b"{}"), (1, b"x" * 1_000)], ids=["jobs", "bytes"])
def test_polling_pauses_when_so_much_is_in_flight(bench: Bench, count: int, value: bytes) -> None:
    bench.publish(count, value)
    bench.turn()
    bench.publish(1)
    assert bench.turn() == []


def test_polling_goes_on_when_half_is_free_again_and_not_before(bench: Bench) -> None:
    bench.publish(4)
    bench.turn()
    deliveries = bench.deliveries
    bench.publish(1)
    bench.pipeline.assignments.give_back(deliveries[:1])
    assert bench.turn() == []
    bench.pipeline.assignments.give_back(deliveries[1:2])
    assert [*bench.turn(), *bench.turn()] == [4]


def test_a_full_lane_holds_back_no_other(bench: Bench) -> None:
    other = ("jobs.interactive", 0)
    bench.cluster = MemoryCluster([bench.partition, other])
    bench.broker = MemoryBroker(bench.cluster, "group", bench.intake)
    bench.publish(4)
    assert bench.turn() == [0, 1, 2, 3]
    bench.publish(1)
    bench.cluster.publish(other, b"{}")
    assert bench.turn() == [0]
    assert {delivery.message.partition for delivery in bench.deliveries} == {other}


def test_settled_offsets_are_told_to_the_broker(bench: Bench) -> None:
    bench.publish(2)
    bench.turn()
    assignments = bench.pipeline.assignments
    assignments.settled(bench.deliveries, assignments.finish(bench.deliveries))
    bench.turn()
    assert bench.broker.positions([bench.partition])[bench.partition] == Position(0, 2, 2)


def test_waiting_work_is_given_back_when_a_partition_is_revoked(bench: Bench) -> None:
    bench.publish(1)
    bench.turn()
    segment = bench.build.segment(delivery=bench.deliveries[0])
    bench.pipeline.waiting_room.add([(FRENCH, segment)])
    bench.intake.revoked([bench.partition])
    assert len(bench.pipeline.waiting_room) == 0
    assert bench.pipeline.assignments.in_flight().jobs == 0
    assert bench.pipeline.assignments.partitions() == frozenset()


def test_begun_work_counts_no_more_when_a_revocation_could_not_wait_for_it(bench: Bench) -> None:
    bench.publish(1)
    bench.turn()
    bench.intake.revoked([bench.partition])
    assert bench.pipeline.assignments.counted(bench.deliveries[:1]) == [False]


def test_messages_come_again_when_a_lost_partition_comes_back(bench: Bench) -> None:
    bench.publish(2)
    bench.turn()
    stale = bench.deliveries
    bench.cluster.expel(bench.broker)
    assert bench.turn() == [0, 1]
    assert not any(bench.pipeline.assignments.counted(stale))


def test_the_group_is_joined_anew_when_a_partition_was_fenced(bench: Bench) -> None:
    bench.turn()
    bench.pipeline.fenced.set()
    with pytest.raises(ClientLostError, match="taken a partition over"):
        bench.turn()
    bench.intake.forget_all()
    assert bench.pipeline.assignments.partitions() == frozenset()
    bench.turn()


class Stalled(MemoryBroker):
    """A client that has lost its place: nothing comes until the partition is started anew."""

    lost = True

    def poll(self, timeout_seconds: float) -> list[Message]:
        messages = super().poll(timeout_seconds)
        if self.lost:
            self._positions = {message.partition: 0 for message in messages} or self._positions
        return [] if self.lost else messages

    def start(self, offsets: Mapping[Partition, int]) -> None:
        super().start(offsets)
        self.lost = False


def test_a_partition_is_started_anew_when_it_stands_still_although_there_is_more(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stall_watch, "STALL_SECONDS", 0.0)
    bench.intake = LeasesInMemory(bench.pipeline, bench.nowhere, bench.limits)
    bench.broker.close(0)
    bench.broker = Stalled(bench.cluster, "group", bench.intake)
    bench.publish(2)
    assert bench.turn() == []
    assert [*bench.turn(), *bench.turn()] == [0, 1]
    assert bench.pipeline.metrics.registry.get_sample_value("dragoman_partition_restarts_total") == 1


def test_an_idle_partition_is_left_alone(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stall_watch, "STALL_SECONDS", 0.0)
    bench.intake = LeasesInMemory(bench.pipeline, bench.nowhere, bench.limits)
    bench.turn()
    bench.turn()
    assert bench.pipeline.metrics.registry.get_sample_value("dragoman_partition_restarts_total") == 0
