"""Where faults happen: a Kafka and a PostgreSQL of the suite's own, each with a proxy before it."""

from contextlib import ExitStack
from types import TracebackType
from typing import Self

from dragoman.compose.local import KafkaOptions, LocalStack, StackOptions
from dragoman.compose.local.ports import HOST, free_port
from dragoman.tests.faults.nursery import Nursery
from dragoman.tests.faults.proxy import Proxy
from sqlalchemy.engine import make_url

# A silent worker's partitions move after this, not after the 45 s of a real cluster.
SESSION_SECONDS = 6.0
# Who joined, left, was thrown out and got what: without it, a partition that nobody reads has no history. Since
# KAFKA-19862 the coordinator passes over an owner that it did not expect, and says so only to who wants details.
COORDINATORS = "org.apache.kafka.coordinator"
LOG_LEVELS = ((COORDINATORS, "info"), (f"{COORDINATORS}.group.modern.consumer.ConsumerGroup", "debug"))
# What a broker of Kafka 4.3 says that has taken over groups before it could read their log (docs/reliability.md): it
# serves what it has read, and gives the groups up when it finds that this was not all. Only a restart helps.
GROUPS_GIVEN_UP = (b"out of sync with the underlying log", b"Failed to load metadata from __consumer_offsets")


class Ground:
    """Services and proxies, whole again after `heal`."""

    def __init__(self, heartbeat_seconds: float = 1.0) -> None:
        self._kafka_proxy_port = free_port()
        kafka = KafkaOptions(
            SESSION_SECONDS,
            proxy_port=self._kafka_proxy_port,
            consumer_heartbeat_seconds=heartbeat_seconds,
            log_levels=LOG_LEVELS,
        )
        self.stack = LocalStack(StackOptions(kafka=kafka))
        self._resources = ExitStack()
        self._judged_bytes = 0  # of the broker's log
        self.brokers_restarted = 0

    def __enter__(self) -> Self:
        self._resources.enter_context(self.stack)
        self.nursery = self._resources.enter_context(Nursery())
        proxied = self.stack.kafka.proxied_port
        self.kafka_proxy = self._resources.enter_context(Proxy(self._kafka_proxy_port, proxied, "kafka"))
        database = self.stack.postgres.port
        self.postgres_proxy = self._resources.enter_context(Proxy(free_port(), database, "postgres"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.close()

    @property
    def proxied_kafka(self) -> str:
        """Bootstrap servers of the way through the proxy."""
        return f"{HOST}:{self._kafka_proxy_port}"

    def proxied_database(self, database_url: str) -> str:
        """The same database by way of the proxy."""
        return make_url(database_url).set(port=self.postgres_proxy.port).render_as_string(hide_password=False)

    def restart_broker_without_groups(self) -> bool:
        """Do what an operator does with a broker that has given up its groups; whether that was the matter."""
        said = self.stack.kafka.log.read_bytes()[self._judged_bytes :]
        self._judged_bytes += len(said)
        if not any(words in said for words in GROUPS_GIVEN_UP):
            return False
        self.stack.kafka.restart()
        self.brokers_restarted += 1
        return True

    def heal(self) -> None:
        """Good networks, and both services running."""
        for proxy in (self.kafka_proxy, self.postgres_proxy):
            proxy.clear()
        for service in (self.stack.postgres, self.stack.kafka):
            if service.running:
                service.resume()
            service.start()
