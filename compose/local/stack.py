"""Kafka and PostgreSQL together: started, found, stopped. Knows both services, creates no topic, no table."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from ...errors import ConfigurationError
from . import ports
from .data_dir import DataDirectory
from .kafka import KafkaOptions, KafkaService
from .postgres import PostgresOptions, PostgresService
from .service import Service, Upkeep

KAFKA_VARIABLE = "DRAGOMAN_KAFKA_BOOTSTRAP_SERVERS"
DATABASE_VARIABLE = "DRAGOMAN_DATABASE_URL"
S = TypeVar("S", bound=Service)
# Written by `dragoman up`, read by settings.py; it must not outlive the stack it describes.
ENV_FILE_NAME = "stack.env"


@dataclass(frozen=True, slots=True)
class StackOptions:
    """What to start, where. None means: a temporary folder, a free port, a service of our own."""

    data_dir: Path | None = None
    kafka_port: int | None = None
    database_port: int | None = None
    kafka: KafkaOptions = field(default_factory=KafkaOptions)
    postgres: PostgresOptions = field(default_factory=PostgresOptions)
    start_timeout_seconds: float = 120.0
    kafka_bootstrap_servers: str | None = None
    database_url: str | None = None

    def with_given_services(self, environment: Mapping[str, str] | None = None) -> Self:
        """Return options under which the services that DRAGOMAN_... variables name are used, not started."""
        variables = os.environ if environment is None else environment
        url = variables.get(DATABASE_VARIABLE) or _content(variables.get(f"{DATABASE_VARIABLE}_FILE"))
        return replace(self, kafka_bootstrap_servers=variables.get(KAFKA_VARIABLE) or None, database_url=url)


class LocalStack:
    """A context in which Kafka and PostgreSQL run; whichever the options name is used as it is.

    Nothing of it outlives this process: not after `stop`, not after Ctrl-C, not after SIGKILL.
    """

    def __init__(self, options: StackOptions | None = None) -> None:
        self.options = options or StackOptions()
        self._folder: DataDirectory | None = None
        self._kafka: KafkaService | None = None
        self._postgres: PostgresService | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def kafka(self) -> KafkaService:
        """The local broker; raises `ConfigurationError` where a given one is used."""
        return _ours(self._kafka, KAFKA_VARIABLE)

    @property
    def postgres(self) -> PostgresService:
        """The local database server; raises `ConfigurationError` where a given one is used."""
        return _ours(self._postgres, DATABASE_VARIABLE)

    @property
    def kafka_bootstrap_servers(self) -> str:
        """The broker as host:port[,host:port]."""
        return self.options.kafka_bootstrap_servers or self.kafka.bootstrap_servers

    @property
    def database_url(self) -> str:
        """The database as SQLAlchemy URL."""
        return self.options.database_url or self.postgres.url

    @property
    def data_dir(self) -> Path:
        """The folder of data and logs."""
        if self._folder is None:
            raise ConfigurationError("the local stack keeps no data: it is not started, or runs no service of its own")
        return self._folder.path

    def start(self) -> None:
        """Start both services side by side; returns when both answer.

        Raises `ConfigurationError` (port or folder in use), `DownloadError` or `ServiceFailedError`.
        """
        try:
            self._create_services()
            for service in self._services():
                service.launch()
            for service in self._services():
                service.wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop both services in order and remove a temporary folder."""
        for service in self._services():
            service.stop()
        if self._folder is not None:
            self._folder.release()
        self._folder = self._kafka = self._postgres = None

    def raise_if_ended(self) -> None:
        """Raise `ServiceFailedError` where a service has ended by itself."""
        for service in self._services():
            service.raise_if_ended()

    def _create_services(self) -> None:
        options = self.options
        if options.data_dir is None and options.kafka_bootstrap_servers and options.database_url:
            return  # nothing of ours runs, so there is nothing to keep
        kafka_port = ports.chosen_or_free(options.kafka_port, "--kafka-port")
        database_port = ports.chosen_or_free(options.database_port, "--database-port")
        self._folder = DataDirectory(options.data_dir)
        if options.database_url is None:
            home = self._folder.path / "postgres"
            self._postgres = PostgresService(home, database_port, self._upkeep(), options.postgres)
        if options.kafka_bootstrap_servers is None:
            home = self._folder.path / "kafka"
            self._kafka = KafkaService(home, kafka_port, self._upkeep(), options.kafka)

    def _upkeep(self) -> Upkeep:
        assert self._folder is not None  # noqa: S101 - set by the only caller
        root = self._folder.path
        return Upkeep(
            keep_open=(self._folder.lock,),
            discard=(root,) if self._folder.is_temporary else (root / ENV_FILE_NAME,),
            start_timeout_seconds=self.options.start_timeout_seconds,
        )

    def _services(self) -> list[Service]:
        # PostgreSQL first: it starts while the jars of Kafka are checked, or downloaded.
        return [service for service in (self._postgres, self._kafka) if service is not None]


def _ours(service: S | None, variable: str) -> S:
    if service is None:
        raise ConfigurationError(f"the local stack does not run this service: it is not started, or {variable} is set")
    return service


def _content(path: str | None) -> str | None:
    if not path:
        return None
    try:
        return Path(path).read_text().strip()
    except OSError as error:
        raise ConfigurationError(f"{DATABASE_VARIABLE}_FILE: {error}") from error
