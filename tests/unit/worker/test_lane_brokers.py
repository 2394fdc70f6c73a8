"""Two lanes, a broker each: neither is behind the other, and each is told only what concerns it."""

from collections.abc import Sequence

import pytest
from dragoman.tests.contracts.test_broker_contract import Listener
from dragoman.worker.lane_brokers import LaneBrokers
from dragoman.worker.memory_broker import MemoryBroker, MemoryCluster
from dragoman.worker.message import Message, Partition

URGENT, BULK = ("urgent", 0), ("bulk", 0)


class Lanes:
    """Both lanes with one partition, and their broker."""

    def __init__(self) -> None:
        self.listener = Listener()
        self.clusters = {place[0]: MemoryCluster([place]) for place in (URGENT, BULK)}
        self.broker = LaneBrokers(
            {topic: MemoryBroker(cluster, "group", self.listener) for topic, cluster in self.clusters.items()}
        )

    def publish(self, place: Partition, count: int) -> None:
        for _ in range(count):
            self.clusters[place[0]].publish(place, b"{}")

    def poll(self) -> Sequence[Message]:
        return self.broker.poll(0.0)


@pytest.fixture
def lanes() -> Lanes:
    return Lanes()


def places(messages: Sequence[Message]) -> list[Partition]:
    return [message.partition for message in messages]


def test_an_urgent_message_comes_with_the_next_poll_however_much_waits_in_bulk(lanes: Lanes) -> None:
    lanes.publish(BULK, 5_000)
    lanes.poll()
    lanes.publish(URGENT, 1)

    assert URGENT in places(lanes.poll())


def test_both_lanes_are_started_and_read(lanes: Lanes) -> None:
    lanes.publish(BULK, 1)
    lanes.publish(URGENT, 1)

    assert sorted(places(lanes.poll())) == sorted([URGENT, BULK])
    assert lanes.listener.held == {URGENT, BULK}
    assert lanes.broker.reading() == {URGENT: 1, BULK: 1}
    assert lanes.broker.positions([BULK, URGENT]).keys() == {URGENT, BULK}


def test_a_lane_that_is_held_does_not_hold_the_other(lanes: Lanes) -> None:
    lanes.poll()
    lanes.broker.hold(["bulk"])
    lanes.publish(BULK, 1)
    lanes.publish(URGENT, 1)

    assert places(lanes.poll()) == [URGENT]


def test_each_lane_is_told_what_is_settled_of_it(lanes: Lanes) -> None:
    lanes.publish(BULK, 3)
    lanes.publish(URGENT, 2)
    lanes.poll()
    lanes.broker.commit({URGENT: 2, BULK: 1})

    committed = lanes.broker.positions([URGENT, BULK])
    assert [committed[place].committed_offset for place in (URGENT, BULK)] == [2, 1]
    assert lanes.broker.lag({URGENT: 2, BULK: 1}) == 2


def test_a_lane_whose_partition_was_left_out_is_started_later(lanes: Lanes) -> None:
    lanes.listener.withheld = {BULK}
    lanes.publish(BULK, 1)
    lanes.poll()
    assert lanes.broker.unstarted() == [BULK]

    lanes.broker.start({BULK: 0})
    assert places(lanes.poll()) == [BULK]


def test_closing_leaves_both_groups(lanes: Lanes) -> None:
    lanes.poll()

    assert lanes.broker.close(1.0)
    assert lanes.listener.revocations == []
