"""Where partitions begin and end is known at once, also while the client waits for messages that do not come."""

import pytest
from dragoman.compose.local import LocalStack
from dragoman.producer.kafka import KafkaAdmin, new_topic
from dragoman.settings import Settings
from dragoman.tests.contracts.test_broker_contract import Listener, hold
from dragoman.worker.kafka_broker import KafkaBroker
from dragoman.worker.metrics import Metrics

pytestmark = pytest.mark.services

# A fetch of no messages takes half a second, the answer may take three: more partitions than can wait in turn.
PARTITIONS = 16


def test_positions_of_an_idle_client_are_known(stack: LocalStack, topic_prefix: str) -> None:
    settings = Settings(
        kafka_bootstrap_servers=stack.kafka_bootstrap_servers, topic_prefix=topic_prefix, consumer_group=topic_prefix
    )
    topic = f"{topic_prefix}jobs"
    KafkaAdmin(settings).create([new_topic(topic, PARTITIONS, 1, {})])
    listener = Listener()
    broker = KafkaBroker(settings, [topic], listener, Metrics())
    try:
        hold(broker, listener, PARTITIONS)
        broker.poll(0.1)

        assert sorted(broker.positions(sorted(listener.held))) == [(topic, number) for number in range(PARTITIONS)]
    finally:
        broker.close(5.0)
