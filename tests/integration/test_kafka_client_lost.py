"""A client that nobody polled for too long is given up, and its successor reads what was not finished."""

import threading

import pytest
from dragoman.compose.local import LocalStack
from dragoman.producer.kafka import KafkaAdmin, KafkaPublisher, new_topic
from dragoman.producer.publisher import OutgoingMessage
from dragoman.settings import Settings
from dragoman.tests.contracts.test_broker_contract import Listener, hold, offsets, read, until
from dragoman.worker import kafka_config
from dragoman.worker.broker import ClientLostError
from dragoman.worker.kafka_broker import KafkaBroker
from dragoman.worker.metrics import Metrics

pytestmark = pytest.mark.services

MAX_POLL_SECONDS = 2.0


@pytest.mark.parametrize("protocol", ["consumer", "classic"])
def test_unfinished_messages_are_read_again_when_nobody_polled_for_too_long(
    stack: LocalStack, topic_prefix: str, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_config, "MAX_POLL_SECONDS", MAX_POLL_SECONDS)
    settings = Settings(
        kafka_bootstrap_servers=stack.kafka_bootstrap_servers,
        topic_prefix=topic_prefix,
        consumer_group=topic_prefix,
        group_protocol=protocol,
        session_timeout_seconds=1.0,
    )
    place = (f"{topic_prefix}jobs", 0)
    KafkaAdmin(settings).create([new_topic(place[0], 1, 1, {})])
    publisher = KafkaPublisher(settings)
    arrived: list[object] = []
    for number in range(3):
        publisher.publish(OutgoingMessage(place[0], b"", f"{number}".encode(), []), arrived.append)
    until(lambda: publisher.poll(0.1), lambda: len(arrived) == 3)
    publisher.close()

    broker = KafkaBroker(settings, [place[0]], Listener(), Metrics())
    assert offsets(read(broker, 3), place) == [0, 1, 2]
    threading.Event().wait(MAX_POLL_SECONDS * 1.5)  # nobody polls
    with pytest.raises(ClientLostError, match="MAX_POLL_EXCEEDED"):
        until(lambda: broker.poll(0.1), lambda: False)
    assert broker.close(10.0)

    listener = Listener()
    successor = KafkaBroker(settings, [place[0]], listener, Metrics())
    assert offsets(read(successor, 3), place) == [0, 1, 2]
    hold(successor, listener, 1)
    assert successor.close(10.0)
