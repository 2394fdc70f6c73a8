"""A partition that nobody reads is seen by every worker, on a real Kafka and a real PostgreSQL."""

from collections.abc import Callable

import pytest
from click.testing import CliRunner
from confluent_kafka import Producer
from dragoman.cli.main import dragoman
from dragoman.compose.local import LocalStack
from dragoman.errors import DragomanError, TransientError
from dragoman.producer.kafka import KafkaAdmin, new_topic
from dragoman.settings import Settings
from dragoman.storage.engine import transaction
from dragoman.storage.leases import LeaseRequest, acquire_leases
from dragoman.tests.contracts.test_broker_contract import Listener, hold
from dragoman.tests.unit.worker.conftest import Builder
from dragoman.worker import standstill_watch
from dragoman.worker.kafka_broker import KafkaBroker
from dragoman.worker.kafka_positions import TopicFacts
from dragoman.worker.metrics import Metrics
from dragoman.worker.pipeline import Pipeline
from dragoman.worker.standstill_watch import StandstillWatch
from sqlalchemy import Engine
from structlog.testing import capture_logs

pytestmark = pytest.mark.services


@pytest.fixture
def settings(stack: LocalStack, topic_prefix: str) -> Settings:
    return Settings(
        kafka_bootstrap_servers=stack.kafka_bootstrap_servers, topic_prefix=topic_prefix, consumer_group=topic_prefix
    )


@pytest.fixture
def topic(settings: Settings) -> str:
    """Two partitions; the first has ten messages, the second three."""
    name = f"{settings.topic_prefix}jobs"
    KafkaAdmin(settings).create([new_topic(name, 2, 1, {})])
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap_servers})
    for number, messages in ((0, 10), (1, 3)):
        for _ in range(messages):
            producer.produce(name, value=b"{}", partition=number)
    assert producer.flush(30) == 0
    return name


def lease(engine: Engine, pipeline: Pipeline, topic: str, next_offset: int) -> None:
    """The first partition is finished up to there."""
    with transaction(engine) as connection:
        request = LeaseRequest(pipeline.identity.group_id, "gone", ((topic, 0),), {(topic, 0): next_offset})
        acquire_leases(connection, request)


def gauges(pipeline: Pipeline) -> tuple[float | None, float | None]:
    value: Callable[[str], float | None] = pipeline.metrics.registry.get_sample_value
    return value("dragoman_group_lag_messages"), value("dragoman_standing_partitions")


def test_a_partition_that_nobody_reads_is_measured_and_named(
    database: Engine, settings: Settings, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standstill_watch, "STANDING_SECONDS", 0.0)
    pipeline = Builder().pipeline()
    lease(database, pipeline, topic, 4)
    watch = StandstillWatch(pipeline, database, TopicFacts(settings), [topic])
    with capture_logs() as logs:
        watch.look()
        watch.look()
    assert gauges(pipeline) == (9.0, 2.0)
    (line,) = [line for line in logs if line["event"] == "partitions_stand_still"]
    assert (line["which"], line["last_owners"]) == ({topic: [0, 1]}, ["gone"])


def test_what_brokers_do_not_answer_stays_as_it_was_and_ends_no_worker(
    database: Engine, topic: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standstill_watch, "LOOK_SECONDS", 0.0)
    pipeline = Builder().pipeline()
    watch = StandstillWatch(pipeline, database, TopicFacts(settings), [topic])
    watch.look()
    strange = StandstillWatch(pipeline, database, TopicFacts(settings), [f"{topic}-that-is-not-there"])
    with pytest.raises(TransientError):
        strange.look()
    with capture_logs() as logs:
        strange.work()
    assert [line["event"] for line in logs] == ["standstills_not_known"]
    assert gauges(pipeline) == (13.0, 0.0)


def test_a_group_is_deleted_when_it_has_no_member(
    stack: LocalStack, settings: Settings, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRAGOMAN_KAFKA_BOOTSTRAP_SERVERS", stack.kafka_bootstrap_servers)
    monkeypatch.setenv("DRAGOMAN_TOPIC_PREFIX", settings.topic_prefix)
    monkeypatch.setenv("DRAGOMAN_CONSUMER_GROUP", settings.consumer_group)
    group = settings.topic_prefix + settings.consumer_group

    def delete() -> str:
        return CliRunner().invoke(dragoman, ["leases", "delete-group", "--yes"], catch_exceptions=False).output

    listener = Listener()
    broker = KafkaBroker(settings, [topic], listener, Metrics())
    try:
        hold(broker, listener, 2)
        with pytest.raises(DragomanError, match=f"the group {group} has members: stop every worker first"):
            delete()
    finally:
        broker.close(5.0)
    assert delete() == f"deleted {group}: start the workers\n"
    assert delete() == f"the brokers know no {group}\n"
