"""One run: topics and a database of its own, a load, a fleet of workers, and a record of what was done to them."""

import json
import secrets
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from confluent_kafka import ConsumerGroupTopicPartitions
from confluent_kafka.admin import AdminClient
from dragoman.producer.topics import ensure_topics
from dragoman.settings import Settings
from dragoman.storage.engine import create_database_engine, transaction
from dragoman.storage.migrate import upgrade
from dragoman.tests.faults.audit import install_audit
from dragoman.tests.faults.entry import Temper
from dragoman.tests.faults.fleet import Fleet, Recipe, Worker, wait_until
from dragoman.tests.faults.ground import SESSION_SECONDS, Ground
from dragoman.tests.faults.journal import Journal
from dragoman.tests.faults.load import LANES, Load, Mix
from sqlalchemy import text
from sqlalchemy.engine import make_url

Partition = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Setup:
    """What a run begins with."""

    workers: int = 2
    mix: Mix = field(default_factory=Mix)
    temper: Temper = field(default_factory=Temper)
    kafka_by_proxy: bool = False
    database_by_proxy: bool = False
    variables: tuple[tuple[str, str], ...] = ()
    warm_up_rows: int = 100


class Arena:
    """Everything of one run; entering it starts load and workers, leaving it ends them and drops the database."""

    def __init__(self, ground: Ground, folder: Path, seed: int, setup: Setup) -> None:
        self.ground = ground
        self.folder = folder
        self.seed = seed
        self.setup = setup
        self.bites: Counter[str] = Counter()
        self.seen: list[str] = []
        # Kafka's and the database's own state was set back on purpose: what it held before does not count.
        self.rewound = False
        self._loads = 0
        # What retention took before anybody read it, up to these offsets.
        self.expired: dict[Partition, int] = {}
        # Partitions in which records were made unreadable: what is in quarantine there counts as answered.
        self.spoiled: set[Partition] = set()
        self._resources = ExitStack()
        folder.mkdir(parents=True, exist_ok=True)
        self._events = self._resources.enter_context((folder / "events.jsonl").open("a"))

    def __enter__(self) -> Self:
        try:
            self._enter()
        except BaseException:
            self._resources.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Told why, so that a failing clean-up does not hide what failed before.
        self._resources.__exit__(kind, error, trace)

    def _enter(self) -> None:
        self._create_database()
        self.settings = Settings(
            kafka_bootstrap_servers=self.ground.stack.kafka_bootstrap_servers,
            database_url=self.database_url,
            topic_prefix=f"f{secrets.token_hex(4)}.",
            client_id="faults",
        )
        ensure_topics(self.settings)
        upgrade(self.database_url)
        self.engine = create_database_engine(self.database_url, application_name="faults")
        self._resources.callback(self.engine.dispose)
        with transaction(self.engine) as connection:
            install_audit(connection)
        self.journal = Journal(self.folder / "journal.jsonl")
        self._resources.callback(self.journal.close)
        self.load = Load(self.settings, self.journal, self.seed, self.setup.mix)
        self.fleet = Fleet(self._recipe(), self.folder, self.ground.nursery)
        self._resources.callback(self.fleet.kill_all)
        self.fleet.start_ready(self.setup.workers)
        self.load.start()
        wait_until(lambda: self.rows() >= self.setup.warm_up_rows, "the first jobs are recorded")
        for worker in self.fleet.running:
            worker.baseline = worker.footprint()

    def new_load(self) -> None:
        """Go on after the load was stopped; the seed goes on too."""
        self._loads += 1
        self.load = Load(self.settings, self.journal, self.seed + 1_000_003 * self._loads, self.setup.mix)
        self.load.start()

    @property
    def stall_file(self) -> Path:
        """While it is there, the models of this run hang."""
        return self.folder / "stall"

    @property
    def group(self) -> str:
        return self.settings.topic_prefix + self.settings.consumer_group

    def note(self, what: str, **numbers: Any) -> None:
        """Write down, with the time, what is done or seen."""
        entry = {"at_seconds": round(time.monotonic(), 3), "what": what} | numbers
        self._events.write(f"{json.dumps(entry)}\n")
        self._events.flush()

    def bite(self, what: str, times: float = 1) -> None:
        """A fault struck so often: without any, a run proves nothing."""
        self.bites[what] += int(times)
        self.note("bite", of=what, times=times)

    def saw(self, sentence: str) -> None:
        """Something worth the report."""
        self.seen.append(sentence)
        self.note(sentence)

    def query(self, statement: str, **parameters: Any) -> list[tuple[Any, ...]]:
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(statement), parameters)]

    def execute(self, statement: str) -> None:
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(statement))

    def rows(self) -> int:
        return int(self.query("SELECT count(*) FROM translation")[0][0])

    def wait_rows(self, more: int, patience_seconds: float = 120) -> float:
        """Wait until so many more rows are recorded; returns the seconds it took."""
        wanted = self.rows() + more
        return wait_until(lambda: self.rows() >= wanted, f"{more} more rows", patience_seconds)

    def epochs(self) -> int:
        return int(self.query("SELECT coalesce(sum(epoch), 0) FROM ingest_lease")[0][0])

    def owned_by(self, worker: Worker) -> int:
        """How many leases say that they are this worker's."""
        name = worker.events("worker_started")[0]["worker_id"]
        return int(self.query("SELECT count(*) FROM ingest_lease WHERE owner = :name", name=name)[0][0])

    def leases(self) -> dict[Partition, int | None]:
        """How far each partition is finished, as the database has it."""
        return {(t, p): o for t, p, o in self.query("SELECT topic, partition, next_offset FROM ingest_lease")}

    def admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.settings.kafka_bootstrap_servers, "log_level": 0})

    def committed(self) -> dict[Partition, int]:
        """How far each partition is finished, as Kafka was told."""
        wanted = [ConsumerGroupTopicPartitions(self.group)]
        admin = self.admin()  # kept: its answers die with it
        answer = admin.list_consumer_group_offsets(wanted)[self.group].result(timeout=10)
        return {(entry.topic, entry.partition): entry.offset for entry in answer.topic_partitions or []}

    def topics(self) -> list[str]:
        return [self.settings.topic_prefix + lane for lane in LANES]

    def _recipe(self) -> Recipe:
        database = self.database_url
        kafka = self.settings.kafka_bootstrap_servers
        if self.setup.database_by_proxy:
            database = self.ground.proxied_database(database)
        if self.setup.kafka_by_proxy:
            kafka = self.ground.proxied_kafka
        temper = self.setup.temper
        environment = {
            "DRAGOMAN_KAFKA_BOOTSTRAP_SERVERS": kafka,
            "DRAGOMAN_DATABASE_URL": database,
            "DRAGOMAN_TOPIC_PREFIX": self.settings.topic_prefix,
            "DRAGOMAN_HEALTH_PORT": "0",
            "DRAGOMAN_BEAM_SIZE": "1",
            "DRAGOMAN_LOG_FORMAT": "json",
            "DRAGOMAN_LOG_LEVEL": "debug",
            "DRAGOMAN_DRAIN_SECONDS": "8",
            "DRAGOMAN_SESSION_TIMEOUT_SECONDS": str(SESSION_SECONDS),
        } | dict(self.setup.variables)
        stalling = Temper(temper.seconds_per_row, str(self.stall_file), temper.max_poll_seconds, temper.mutant)
        return Recipe(environment, stalling)

    def _create_database(self) -> None:
        name = f"fault_{secrets.token_hex(5)}"
        server = self.ground.stack.database_url
        self.database_url = make_url(server).set(database=name).render_as_string(hide_password=False)
        _on_server(server, f"CREATE DATABASE {name}")
        self._resources.callback(_on_server, server, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def _on_server(url: str, statement: str) -> None:
    engine = create_database_engine(url)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(statement))
    engine.dispose()
