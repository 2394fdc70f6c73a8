from pathlib import Path

import pytest
from dragoman.kafka_settings import kafka_client_config
from dragoman.producer.errors import BrokerUnavailableError
from dragoman.producer.kafka import KafkaPublisher
from dragoman.settings import Settings


def test_plain_settings_name_brokers_and_nothing_secret() -> None:
    config = kafka_client_config(Settings(kafka_bootstrap_servers="a:1,b:2"))

    assert config["bootstrap.servers"] == "a:1,b:2"
    assert not [name for name in config if name.startswith(("sasl", "ssl"))]


def test_login_and_authority_are_passed_on_when_they_are_set() -> None:
    config = kafka_client_config(
        Settings(
            kafka_security_protocol="SASL_SSL",
            kafka_sasl_mechanism="SCRAM-SHA-512",
            kafka_username="worker",
            kafka_password="s3cret",
            kafka_ssl_ca_location=Path("ca.pem"),
        )
    )

    assert config["security.protocol"] == "SASL_SSL"
    assert (config["sasl.mechanism"], config["sasl.username"]) == ("SCRAM-SHA-512", "worker")
    assert (config["sasl.password"], config["ssl.ca.location"]) == ("s3cret", "ca.pem")


def test_broker_that_is_down_is_named_with_what_to_do() -> None:
    publisher = KafkaPublisher(Settings(kafka_bootstrap_servers="127.0.0.1:9"))  # discard: nobody listens

    with pytest.raises(BrokerUnavailableError, match=r"no Kafka broker answered at 127.0.0.1:9.*`dragoman up`"):
        publisher.check(["jobs.bulk"], timeout_seconds=0.5)
