"""What cannot be read is tried again, then probed, then passed; its neighbours are worked on."""

from collections.abc import Sequence
from typing import Any

import pytest
from dragoman.storage.quarantine import QuarantinedRange
from dragoman.worker import fault_desk
from dragoman.worker.broker import ClientLostError, ReadFault
from dragoman.worker.fault_desk import FaultDesk
from dragoman.worker.memory_broker import MemoryBroker, MemoryCluster
from dragoman.worker.message import Partition
from dragoman.worker.pipeline import Pipeline
from dragoman.worker.probe import Found


class Probe:
    """A survey that has ended; the test says what it found."""

    def __init__(self, fault: ReadFault, found: Found | None) -> None:
        self.fault, self.found, self.done = fault, found, True


class Bench:
    def __init__(self, build: Any) -> None:
        self.partition: Partition = build.partition()
        self.pipeline: Pipeline = build.pipeline()
        self.cluster = MemoryCluster([self.partition])
        for _ in range(6):
            self.cluster.publish(self.partition, b"{}")
        self.found: list[Found | None] = []
        self.probed: list[int] = []
        self.limits_seconds: list[float] = []
        self.broker = MemoryBroker(self.cluster, "group", self)
        self.desk = FaultDesk(self.pipeline, self.probe)

    def assigned(self, positions: Any) -> Any:
        return dict.fromkeys(positions, 0)

    def revoked(self, partitions: Sequence[Partition]) -> None: ...

    lost = revoked

    def probe(self, fault: ReadFault, limit_seconds: float) -> Probe:
        self.probed.append(fault.offset)
        self.limits_seconds.append(limit_seconds)
        return Probe(fault, self.found.pop(0))

    def turn(self, count: int = 1) -> list[int]:
        """Offsets that so many turns hand over."""
        offsets = []
        for _ in range(count):
            deliveries = [self.pipeline.assignments.receive(message) for message in self.broker.poll(0)]
            self.desk.turn(self.broker)
            offsets += [delivery.message.offset for delivery in deliveries if delivery]
            offsets += [delivery.message.offset for delivery in self.pipeline.inbox.bulk.gather(1_000, 0.0)]
        return offsets


@pytest.fixture
def bench(build: Any, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(fault_desk, "RETRY_SECONDS", 0.0)
    return Bench(build)


def test_reading_goes_on_when_a_fault_heals(bench: Bench) -> None:
    bench.cluster.damage(bench.partition, 2)
    assert bench.turn(2) == [0, 1]
    bench.cluster.heal(bench.partition)
    assert bench.turn(2) == [2, 3, 4, 5]
    assert bench.probed == []


def test_a_probe_looks_after_five_attempts_and_not_before(bench: Bench) -> None:
    bench.cluster.damage(bench.partition, 2)
    bench.found = [None] * 3
    bench.turn(5)
    assert bench.probed == []
    bench.turn(2)
    assert bench.probed == [2]


def test_a_range_is_passed_and_its_neighbours_are_read_when_a_probe_has_found_its_end(bench: Bench) -> None:
    bench.cluster.damage(bench.partition, 2, 3)
    skipped = QuarantinedRange(*bench.partition, 2, 3, "unreadable")
    bench.found = [Found((skipped,), 4)]
    assert bench.turn(9) == [0, 1, 4, 5]
    (outcome,) = bench.pipeline.finished.bulk.gather(1, 0.0)
    assert outcome.quarantined == skipped


def test_progress_passes_a_range_only_when_it_and_all_before_it_are_finished(bench: Bench) -> None:
    bench.cluster.damage(bench.partition, 2, 3)
    bench.found = [Found((QuarantinedRange(*bench.partition, 2, 3, "unreadable"),), 4)]
    assignments = bench.pipeline.assignments
    first = [assignments.receive(message) for message in bench.broker.poll(0)]
    bench.turn(8)
    (outcome,) = bench.pipeline.finished.bulk.gather(1, 0.0)
    assert assignments.finish([outcome.delivery])[0].next_offset == 0
    assert assignments.finish([delivery for delivery in first if delivery])[0].next_offset == 4


def test_what_a_probe_could_read_is_worked_on(bench: Bench, build: Any) -> None:
    bench.cluster.damage(bench.partition, 2, 3)
    skipped = QuarantinedRange(*bench.partition, 3, 3, "too_large")
    bench.found = [Found((build.message(2), skipped), 4)]
    assert bench.turn(9) == [0, 1, 2, 4, 5]


def test_the_fault_is_tried_again_when_a_probe_found_nothing_out(bench: Bench) -> None:
    bench.cluster.damage(bench.partition, 2)
    bench.found = [None, Found((), 3)]
    assert bench.turn(20) == [0, 1, 3, 4, 5]
    assert bench.probed == [2, 2]


def test_a_probe_has_twice_the_time_of_one_that_found_nothing_out_up_to_a_limit(bench: Bench) -> None:
    bench.cluster.damage(bench.partition, 2)
    bench.found = [None] * 5 + [Found((), 3)]
    bench.turn(60)

    assert bench.limits_seconds == [8.0, 16.0, 32.0, 64.0, 64.0, 64.0]


def test_what_a_probe_found_is_dropped_when_the_partition_is_no_longer_ours(bench: Bench) -> None:
    bench.cluster.damage(bench.partition, 2)
    bench.found = [Found((QuarantinedRange(*bench.partition, 2, 2, "unreadable"),), 3)]
    bench.turn(1)
    bench.pipeline.assignments.remove([bench.partition])
    bench.turn(8)
    assert bench.pipeline.finished.bulk.empty()


def test_the_client_is_given_up_when_kafka_has_no_such_offset(bench: Bench) -> None:
    bench.turn(1)
    bench.cluster.expire(bench.partition, 6)

    class Lost(MemoryBroker):
        def faults(self) -> list[ReadFault]:
            return [ReadFault(bench.partition, 2, fault_desk.NO_SUCH_OFFSET)]

    bench.broker.close(0)
    bench.broker = Lost(bench.cluster, "group", bench)
    with pytest.raises(ClientLostError, match="offsets 6 to 6"):
        bench.turn(1)
