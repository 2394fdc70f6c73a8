from pathlib import Path

import pytest
from dragoman.compose.local import KafkaOptions, LocalStack, StackOptions
from dragoman.compose.local.kafka import Listening, server_properties
from dragoman.errors import ConfigurationError

GIVEN = {
    "DRAGOMAN_KAFKA_BOOTSTRAP_SERVERS": "broker:9092",
    "DRAGOMAN_DATABASE_URL": "postgresql+psycopg2://u@db/d",
}


def properties(options: KafkaOptions) -> dict[str, str]:
    lines = server_properties(Listening(9092, 9093, 9094), options).splitlines()
    return dict(line.split("=", 1) for line in lines)


def test_given_services_are_used_and_none_is_started() -> None:
    with LocalStack(StackOptions().with_given_services(GIVEN)) as stack:
        assert (stack.kafka_bootstrap_servers, stack.database_url) == (
            "broker:9092",
            "postgresql+psycopg2://u@db/d",
        )


def test_given_database_url_is_read_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgresql+psycopg2://u@db/d\n")
    options = StackOptions().with_given_services({"DRAGOMAN_DATABASE_URL_FILE": str(tmp_path / "url")})
    assert options.database_url == "postgresql+psycopg2://u@db/d"


def test_missing_database_url_file_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="DRAGOMAN_DATABASE_URL_FILE"):
        StackOptions().with_given_services({"DRAGOMAN_DATABASE_URL_FILE": "/does/not/exist"})


def test_both_services_are_ours_when_nothing_is_given() -> None:
    options = StackOptions().with_given_services({})
    assert (options.kafka_bootstrap_servers, options.database_url) == (None, None)


def test_given_service_cannot_be_stopped() -> None:
    with (
        LocalStack(StackOptions().with_given_services(GIVEN)) as stack,
        pytest.raises(ConfigurationError, match="DRAGOMAN_KAFKA_BOOTSTRAP_SERVERS"),
    ):
        stack.kafka.kill()


def test_broker_listens_on_this_machine_only() -> None:
    assert properties(KafkaOptions())["listeners"] == "PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093"


def test_broker_takes_the_consumer_session_timeout_of_the_options() -> None:
    values = properties(KafkaOptions(consumer_session_timeout_seconds=6))
    assert values["group.consumer.session.timeout.ms"] == "6000"
    assert values["group.consumer.min.session.timeout.ms"] == "6000"


@pytest.mark.parametrize(("session", "heartbeat", "told"), [(45, 1.0, "1000"), (45, 0.5, "500"), (3, 1.0, "500")])
def test_broker_wants_six_heartbeats_a_session_at_least(session: float, heartbeat: float, told: str) -> None:
    values = properties(KafkaOptions(session, consumer_heartbeat_seconds=heartbeat))
    assert values["group.consumer.heartbeat.interval.ms"] == told
    assert values["group.consumer.min.heartbeat.interval.ms"] == told


def test_broker_takes_messages_that_carry_eight_mebibytes() -> None:
    assert int(properties(KafkaOptions())["message.max.bytes"]) > 8 * 1024 * 1024
