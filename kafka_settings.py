"""How every client of ours reaches the brokers. Knows the settings and librdkafka's names for them."""

from typing import Any

from .settings import Settings


def kafka_client_config(settings: Settings) -> dict[str, Any]:
    """Return the librdkafka configuration that producers, consumers and admin clients share.

    It holds the password: never log it.
    """
    config: dict[str, Any] = {
        "bootstrap.servers": settings.kafka_bootstrap_servers,
        "client.id": "dragoman",
        "security.protocol": settings.kafka_security_protocol,
        # A broker that is away is tried again ever more slowly, at least every 5 s: the library's own 10 s
        # make a restart look longer than it is.
        "reconnect.backoff.max.ms": 5_000,
    }
    if settings.kafka_ssl_ca_location is not None:
        config["ssl.ca.location"] = str(settings.kafka_ssl_ca_location)
    if settings.kafka_security_protocol.startswith("SASL") and settings.kafka_password is not None:
        config["sasl.mechanism"] = settings.kafka_sasl_mechanism
        config["sasl.username"] = settings.kafka_username
        config["sasl.password"] = settings.kafka_password.get_secret_value()
    return config
