"""Every worker gets a share of each lane: else a backlog in one has half of the workers, and the others wait."""

from collections import Counter

import pytest
from dragoman.compose.local import LocalStack
from dragoman.producer.kafka import KafkaAdmin, new_topic
from dragoman.settings import Settings
from dragoman.tests.contracts.test_broker_contract import Listener, until
from dragoman.worker.kafka_broker import KafkaBroker
from dragoman.worker.lane_brokers import LaneBrokers
from dragoman.worker.metrics import Metrics

pytestmark = pytest.mark.services


@pytest.mark.parametrize("protocol", ["consumer", "classic"])
def test_two_workers_share_both_lanes(stack: LocalStack, topic_prefix: str, protocol: str) -> None:
    settings = Settings(
        kafka_bootstrap_servers=stack.kafka_bootstrap_servers,
        topic_prefix=topic_prefix,
        consumer_group=topic_prefix,
        group_protocol=protocol,
    )
    lanes = [f"{topic_prefix}interactive", f"{topic_prefix}bulk"]
    KafkaAdmin(settings).create([new_topic(lane, 4, 1, {}) for lane in lanes])
    listeners = [Listener(), Listener()]

    def join(listener: Listener) -> LaneBrokers:
        return LaneBrokers({lane: KafkaBroker(settings, [lane], listener, Metrics()) for lane in lanes})

    first = join(listeners[0])
    until(lambda: turn(first, listeners[0]), lambda: len(listeners[0].held) == 8)
    second = join(listeners[1])
    until(
        lambda: (turn(first, listeners[0]), turn(second, listeners[1])),
        lambda: [len(one.held) for one in listeners] == [4, 4],
    )

    assert [Counter(topic for topic, _ in one.held) for one in listeners] == [dict.fromkeys(lanes, 2)] * 2
    assert first.close(10.0)
    assert second.close(10.0)


def turn(broker: LaneBrokers, listener: Listener) -> None:
    """Poll, and start what was left out because a broker did not know yet that it leads a new partition."""
    broker.poll(0.1)
    if unstarted := broker.unstarted():
        broker.start(listener.assigned(broker.positions(unstarted)))
