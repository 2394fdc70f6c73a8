"""What the local Kafka and PostgreSQL promise to those who use them."""

from collections.abc import Iterator

import psycopg2
import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from dragoman.compose.local import LocalStack
from psycopg2.extensions import connection as Connection
from sqlalchemy.engine import make_url

pytestmark = pytest.mark.services

WAIT_SECONDS = 30.0
EIGHT_MEBIBYTES = 8 * 1024 * 1024


@pytest.fixture
def topic(stack: LocalStack, topic_prefix: str) -> Iterator[str]:
    admin = AdminClient({"bootstrap.servers": stack.kafka_bootstrap_servers})
    name = f"{topic_prefix}messages"
    admin.create_topics([NewTopic(name, 1, 1)])[name].result(WAIT_SECONDS)
    yield name
    admin.delete_topics([name])[name].result(WAIT_SECONDS)


@pytest.fixture
def database(database_url: str) -> Iterator[Connection]:
    opened = connect(database_url)
    yield opened
    opened.close()


def connect(url: str) -> Connection:
    opened: Connection = psycopg2.connect(make_url(url).set(drivername="postgresql").render_as_string(False))
    opened.autocommit = True
    return opened


def value_of(database: Connection, query: str) -> object:
    with database.cursor() as cursor:
        cursor.execute(query)
        row = cursor.fetchone()
    assert row is not None
    return row[0]


def publish(stack: LocalStack, topic: str, value: bytes) -> None:
    faults: list[KafkaError | None] = []
    producer = Producer({"bootstrap.servers": stack.kafka_bootstrap_servers, "message.max.bytes": 9_000_000})
    producer.produce(topic, value, on_delivery=lambda fault, _: faults.append(fault))
    producer.flush(WAIT_SECONDS)
    assert faults == [None]


def first_value(stack: LocalStack, topic: str) -> bytes:
    """Read the topic's first message with the group protocol our workers use."""
    consumer = Consumer(
        {
            "bootstrap.servers": stack.kafka_bootstrap_servers,
            "group.id": f"{topic}-readers",
            "group.protocol": "consumer",
            "auto.offset.reset": "earliest",
            "fetch.message.max.bytes": 9_000_000,
            "log_level": 0,
        }
    )
    consumer.subscribe([topic])
    try:
        (message,) = consumer.consume(1, WAIT_SECONDS)
    finally:
        consumer.close()
    value = message.value()
    assert isinstance(value, bytes)
    return value


def test_message_of_eight_mebibytes_comes_back(stack: LocalStack, topic: str) -> None:
    value = b"x" * EIGHT_MEBIBYTES
    publish(stack, topic, value)
    assert first_value(stack, topic) == value


def test_topic_is_not_created_by_a_message_to_an_unknown_one(stack: LocalStack, topic_prefix: str) -> None:
    admin = AdminClient({"bootstrap.servers": stack.kafka_bootstrap_servers, "log_level": 0})
    admin.list_topics(f"{topic_prefix}unknown", timeout=WAIT_SECONDS)
    assert f"{topic_prefix}unknown" not in admin.list_topics(timeout=WAIT_SECONDS).topics


def test_message_is_still_there_when_kafka_was_killed(stack: LocalStack, topic: str) -> None:
    publish(stack, topic, b"kept")
    servers = stack.kafka_bootstrap_servers
    stack.kafka.kill()
    stack.kafka.start()
    assert (stack.kafka_bootstrap_servers, first_value(stack, topic)) == (servers, b"kept")


def test_kafka_does_not_answer_while_it_is_paused(stack: LocalStack) -> None:
    admin = AdminClient({"bootstrap.servers": stack.kafka_bootstrap_servers, "log_level": 0})
    admin.list_topics(timeout=WAIT_SECONDS)
    stack.kafka.pause()
    try:
        with pytest.raises(KafkaException):
            admin.list_topics(timeout=0.5)
    finally:
        stack.kafka.resume()
    assert admin.list_topics(timeout=WAIT_SECONDS).brokers


def test_committed_row_is_still_there_when_postgresql_was_killed(stack: LocalStack, database_url: str) -> None:
    before = connect(database_url)
    before.cursor().execute("CREATE TABLE kept AS SELECT 42 AS value")
    before.close()
    stack.postgres.kill()
    stack.postgres.start()
    after = connect(database_url)
    assert value_of(after, "SELECT value FROM kept") == 42
    after.close()


def test_postgresql_answers_again_when_resumed(stack: LocalStack, database: Connection) -> None:
    stack.postgres.pause()
    stack.postgres.resume()
    assert value_of(database, "SELECT 1") == 1


def test_durability_is_real(database: Connection) -> None:
    assert value_of(database, "SELECT current_setting('fsync') || current_setting('synchronous_commit')") == "onon"


def test_role_is_an_ordinary_one(database: Connection) -> None:
    assert value_of(database, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is False


def test_superuser_cannot_log_in_over_the_network(stack: LocalStack) -> None:
    with pytest.raises(psycopg2.OperationalError, match=r"no pg_hba\.conf entry"):
        connect(stack.database_url.replace("dragoman@", "postgres@"))


def test_trigrams_know_accented_letters(database: Connection) -> None:
    database.cursor().execute("CREATE EXTENSION pg_trgm")
    assert value_of(database, "SELECT similarity('été', 'ÉTÉ')") == 1.0


def test_statements_are_counted_in_the_stacks_database(stack: LocalStack) -> None:
    opened = connect(stack.database_url)
    assert value_of(opened, "SELECT count(*) > 0 FROM pg_stat_statements")
    opened.close()
