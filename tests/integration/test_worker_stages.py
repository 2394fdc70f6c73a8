"""The stages of a worker on a real PostgreSQL: what they do when it fails, and when somebody else takes over."""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from dragoman.compose.local import LocalStack
from dragoman.errors import ConfigurationError
from dragoman.model.batching import BatchLimits
from dragoman.model.decoding import SearchOptions
from dragoman.producer.memory import MemoryPublisher
from dragoman.schemas.codec import encode
from dragoman.schemas.jobs import TranslationJob
from dragoman.storage.engine import create_database_engine, transaction
from dragoman.storage.leases import LeaseRequest, acquire_leases
from dragoman.storage.migrate import upgrade
from dragoman.storage.models import ModelVersion, register_model_version
from dragoman.tests.acceptance.installation import wait_until
from dragoman.tests.commits import before_commits, before_next_commit
from dragoman.tests.emptying import empty_tables
from dragoman.worker.admission import Admission
from dragoman.worker.admitter import Admitter
from dragoman.worker.devices.device_room import RoomPolicy
from dragoman.worker.devices.echo import EchoTranslator
from dragoman.worker.devices.engine_stage import EngineStage
from dragoman.worker.devices.keeper import DevicePolicy
from dragoman.worker.devices.local_device import LocalDevice
from dragoman.worker.devices.served_models import ServedModels
from dragoman.worker.intake import Intake, IntakeLimits
from dragoman.worker.memory_broker import MemoryBroker, MemoryCluster
from dragoman.worker.message import Message, Partition
from dragoman.worker.pipeline import Pipeline
from dragoman.worker.relay import Relay
from dragoman.worker.scheduling.policy import Policy
from dragoman.worker.scheduling.scheduler import Scheduler
from dragoman.worker.scheduling.waiting_room import WaitingRoom
from dragoman.worker.settler import Settler
from dragoman.worker.work import Identity
from sqlalchemy import Engine, event, text

pytestmark = pytest.mark.services

GROUP = "workers"
POLICY = DevicePolicy(RoomPolicy(256, 4096, usual_beam=4), silent_seconds=60.0, attempts=3)
TOPIC = "jobs.bulk"
ZERO, ONE = (TOPIC, 0), (TOPIC, 1)
NEXT_OFFSETS = "SELECT next_offset FROM ingest_lease ORDER BY partition"
HISTORY = "SELECT count(*) FROM translation"
EVENTS = "SELECT count(*) FROM outbox"


@pytest.fixture(scope="module")
def server(stack: LocalStack) -> Iterator[Engine]:
    server = create_database_engine(stack.database_url).execution_options(isolation_level="AUTOCOMMIT")
    yield server
    server.dispose()


@pytest.fixture(scope="module")
def worker_database(server: Engine) -> Iterator[str]:
    """The name of an upgraded database that these tests share."""
    name = f"worker_{secrets.token_hex(6)}"
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
        upgrade(_url(server, name))
        yield name
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def database(server: Engine, worker_database: str) -> Iterator[Engine]:
    """The shared database, emptied."""
    engine = create_database_engine(_url(server, worker_database))
    with transaction(engine) as connection:
        empty_tables(connection)
        register_model_version(connection, ModelVersion("echo@0", ("en",), ("fr",), "00", {}))
    yield engine
    engine.dispose()


def _url(server: Engine, name: str) -> str:
    return server.url.set(database=name).render_as_string(hide_password=False)


class German(EchoTranslator):
    """Serves another pair."""

    pairs = (("en", "de"),)


@dataclass
class Bench:
    """One worker's stages, run by hand; its messages come from two partitions in memory."""

    database: Engine
    server: Engine
    publisher: MemoryPublisher = field(default_factory=MemoryPublisher)
    cluster: MemoryCluster = field(default_factory=lambda: MemoryCluster([ZERO, ONE]))

    def __post_init__(self) -> None:
        identity, translator = Identity("worker", GROUP, ""), EchoTranslator()
        policy = Policy(BatchLimits(4096, 256), {"interactive": 0.0, "bulk": 0.0})
        self.pipeline = Pipeline(identity, WaitingRoom(Scheduler(policy)))
        self.admission = Admission(identity, ServedModels([translator]), SearchOptions())
        self.intake = Intake(self.pipeline, self.database, IntakeLimits(1_000, 1_000_000, 0.0))
        self.admitter = Admitter(self.pipeline, self.admission, self.database, fuse=1_000)
        self.engine = EngineStage(self.pipeline, [LocalDevice(translator)], POLICY, self.database)
        self.settler = Settler(self.pipeline, self.database, self.publisher)
        self.relay = Relay(self.pipeline, self.database, self.publisher)

    def join(self) -> MemoryBroker:
        return MemoryBroker(self.cluster, GROUP, self.intake)

    def publish(self, count: int, partition: Partition = ZERO, **details: Any) -> None:
        for number in range(count):
            job = TranslationJob(
                client_id="shop", source_text=f"Text {number}.", source_language="en", target_language="fr", **details
            )
            self.cluster.publish(partition, encode(job))

    def translate(self, count: int, **details: Any) -> None:
        """Publish jobs, poll them, and take them as far as the settler."""
        self.publish(count, **details)
        self.broker = self.join()
        self.intake.turn(self.broker)
        self.admitter.work()
        self.engine.work()

    def record(self, count: int) -> None:
        """The same, and recorded."""
        self.translate(count)
        self.settler.work()

    def take_over(self, partition: Partition = ZERO) -> None:
        """Another worker takes the lease."""
        with transaction(self.database) as connection:
            acquire_leases(connection, LeaseRequest(GROUP, "another", (partition,)))

    def values(self, statement: str) -> list[Any]:
        with transaction(self.database) as connection:
            return list(connection.execute(text(statement)).scalars())

    def value(self, statement: str) -> Any:
        (only,) = self.values(statement)
        return only

    def metric(self, name: str, **labels: str) -> float:
        return self.pipeline.metrics.registry.get_sample_value(f"dragoman_{name}", labels) or 0.0

    def kill(self, connection: Any) -> None:
        """End the connection's server process, as a crash or an administrator would."""
        pid = connection.connection.dbapi_connection.info.backend_pid
        with self.server.connect() as killer:
            assert killer.execute(text("SELECT pg_terminate_backend(:pid, 10000)"), {"pid": pid}).scalar_one()

    def before(self, statements: dict[int, Callable[[Any], None]], kind: str) -> None:
        """Do something before the n-th statement that holds this (1 = the next), on its connection."""
        seen = 0

        @event.listens_for(self.database, "before_cursor_execute")
        def hook(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
            nonlocal seen
            if kind in statement:
                seen += 1
                statements.get(seen, lambda _: None)(connection)


@pytest.fixture
def bench(database: Engine, server: Engine) -> Bench:
    return Bench(database, server)


def test_jobs_are_recorded_once_when_the_database_ends_connections_under_load(bench: Bench) -> None:
    bench.translate(50)
    bench.before({1: bench.kill, 3: bench.kill}, "SELECT topic")  # the lock that opens a settlement
    bench.before({1: bench.kill}, 'INSERT INTO "outbox"')
    lost_commits = iter([False, True])
    before_commits(bench.database, lambda c, _: bench.kill(c) if next(lost_commits, False) else None)
    bench.settler.work()
    # The events travel with the COMMIT: a connection that is lost there says nothing of it.
    assert bench.metric("settle_failures_total", outcome="rolled_back") == 2
    assert bench.metric("settle_failures_total", outcome="unknown") == 2
    assert bench.value(HISTORY) == bench.value(EVENTS) == 50
    assert bench.values(NEXT_OFFSETS) == [50, 0]
    assert bench.pipeline.assignments.in_flight().jobs == 0
    assert bench.settler.database_answers


def test_jobs_are_counted_once_when_the_reply_to_their_commit_was_lost(bench: Bench) -> None:
    bench.translate(50)

    def lose_the_reply(connection: Any, send: Callable[[], None]) -> None:
        send()
        bench.kill(connection)

    before_next_commit(bench.database, lose_the_reply)
    bench.settler.work()
    assert bench.metric("settle_failures_total", outcome="unknown") == 1
    assert bench.metric("jobs_total", status="translated", reason="") == 50
    assert (bench.metric("job_seconds_count"), bench.metric("rework_pieces_total")) == (50, 0)
    assert bench.value(HISTORY) == bench.value(EVENTS) == 50


def test_what_finished_behind_a_running_job_is_done_again_when_a_failover_lost_it(bench: Bench) -> None:
    bench.translate(3)
    outcomes = bench.pipeline.finished.bulk.gather(3, 0.0)
    bench.pipeline.finished.put(outcomes[1:])
    with transaction(bench.database) as connection:
        [replica] = connection.execute(text("SELECT updated_at FROM ingest_lease WHERE partition = 0")).scalars()
    bench.settler.work()
    assert (bench.value(HISTORY), bench.values(NEXT_OFFSETS)) == (2, [0, 0])
    with transaction(bench.database) as connection:
        connection.execute(text("DELETE FROM translation"))
        connection.execute(text("UPDATE ingest_lease SET updated_at = :then WHERE partition = 0"), {"then": replica})
    bench.pipeline.finished.put(outcomes[:1])
    bench.settler.work()
    assert bench.pipeline.fenced.is_set()
    assert (bench.value(HISTORY), bench.values(NEXT_OFFSETS)) == (0, [0, 0])


def test_nothing_is_recorded_and_the_group_left_when_another_worker_has_taken_over(bench: Bench) -> None:
    bench.translate(3)
    bench.take_over()
    bench.settler.work()
    assert bench.pipeline.fenced.is_set()
    assert bench.pipeline.assignments.partitions() == {ONE}
    assert bench.pipeline.assignments.in_flight().jobs == 0
    assert bench.value(HISTORY) == bench.value(EVENTS) == 0
    assert bench.metric("fenced_writes_total") == 3


def test_the_group_is_not_left_when_the_fenced_partition_had_left_us_before(bench: Bench) -> None:
    bench.translate(3)

    def move(_: Any) -> None:
        bench.intake.revoked([ZERO])
        bench.take_over()

    bench.before({1: move}, "SELECT topic")
    bench.settler.work()
    assert not bench.pipeline.fenced.is_set()
    assert bench.value(HISTORY) == 0


def test_a_partition_that_came_back_stays_when_its_former_work_is_fenced(bench: Bench) -> None:
    bench.translate(3)

    def move_and_return(_: Any) -> None:
        bench.intake.revoked([ZERO])
        bench.intake.assigned({ZERO: bench.cluster.position(GROUP, ZERO)})

    bench.before({1: move_and_return}, "SELECT topic")
    bench.settler.work()
    assert not bench.pipeline.fenced.is_set()
    assert bench.pipeline.assignments.partitions() == {ZERO, ONE}
    assert bench.pipeline.assignments.in_flight().jobs == 0


def test_a_recorded_job_is_not_translated_again_and_its_offset_is_passed(bench: Bench) -> None:
    bench.record(3)
    again = Bench(bench.database, bench.server, cluster=bench.cluster)
    again.values("UPDATE ingest_lease SET next_offset = 0 RETURNING next_offset")
    bench.broker.close(0)
    again.intake.turn(again.join())
    again.admitter.work()
    assert len(again.pipeline.waiting_room) == 0
    assert again.metric("redelivered_total") == 3
    again.settler.work()
    assert (again.value(HISTORY), again.values(NEXT_OFFSETS)) == (3, [3, 0])


def test_partitions_wait_while_the_database_is_away_and_start_where_they_were(bench: Bench) -> None:
    bench.record(2)
    bench.publish(1)
    later = Bench(bench.database, bench.server, cluster=MemoryCluster([ZERO, ONE]))
    later.publish(4)
    broker = later.join()
    allow = f"ALTER DATABASE {bench.database.url.database} ALLOW_CONNECTIONS"
    bench.database.dispose()
    with bench.server.connect() as administrator:
        administrator.execute(text(f"{allow} false"))
        try:
            later.intake.turn(broker)
            assert broker.unstarted() == [ZERO, ONE]
            assert later.metric("unstarted_partitions") == 2
        finally:
            administrator.execute(text(f"{allow} true"))
    while later.pipeline.inbox.bulk.empty():
        later.intake.turn(broker)
    assert [delivery.message.offset for delivery in later.pipeline.inbox.bulk.gather(1, 0.0)] == [2, 3]
    assert broker.unstarted() == []


def test_a_gap_is_written_down_when_messages_expired_unread(bench: Bench) -> None:
    bench.record(2)
    bench.publish(4)
    bench.cluster.expire(ZERO, 5)
    offsets = bench.intake.assigned({ZERO: bench.cluster.position(GROUP, ZERO)})
    assert offsets == {ZERO: 5}
    assert bench.values("SELECT (topic, partition, first_offset, last_offset, reason)::text FROM quarantine") == [
        f"({TOPIC},0,2,4,expired)"
    ]
    # Kafka's committed offset, which is advice, must not be ahead of the lease.
    assert bench.values("SELECT next_offset FROM ingest_lease WHERE partition = 0") == [5]


def test_a_gap_is_written_down_when_messages_expired_before_anybody_came(bench: Bench) -> None:
    bench.publish(4)
    bench.cluster.expire(ZERO, 3)
    assert bench.intake.assigned({ZERO: bench.cluster.position(GROUP, ZERO)}) == {ZERO: 3}
    assert bench.values("SELECT (first_offset, last_offset, reason)::text FROM quarantine") == ["(0,2,expired)"]


def test_a_partition_stays_unstarted_when_kafka_has_less_than_was_read(bench: Bench) -> None:
    bench.record(3)
    recreated = Bench(bench.database, bench.server)
    recreated.publish(1)
    broker = recreated.join()
    recreated.intake.turn(broker)
    assert broker.unstarted() == [ZERO]
    assert recreated.pipeline.assignments.partitions() == {ONE}


def test_the_next_turn_fails_when_the_database_lacks_our_tables(database_url: str, server: Engine) -> None:
    empty = create_database_engine(database_url)
    bench = Bench(empty, server)
    broker = bench.join()
    bench.intake.turn(broker)
    with pytest.raises(ConfigurationError, match="dragoman db upgrade"):
        bench.intake.turn(broker)
    empty.dispose()


def test_messages_of_any_age_are_recorded_when_they_are_no_jobs(bench: Bench) -> None:
    bench.intake.turn(bench.join())
    message = Message(*ZERO, 0, None, b"no", (), 2**63 / 1000)
    delivery = bench.pipeline.assignments.receive(message)
    assert delivery is not None
    bench.pipeline.inbox.put([delivery])
    bench.admitter.work()
    bench.settler.work()
    assert bench.values("SELECT submitted_at FROM translation") == [datetime(2100, 1, 1, tzinfo=UTC)]


def test_a_no_trace_job_is_recorded_only_when_kafka_has_its_answer(bench: Bench) -> None:
    bench.translate(2, no_trace=True)
    bench.publisher.error = "the brokers are away"
    bench.settler.start()
    wait_until(lambda: bench.metric("publish_failures_total") > 1, "it was tried again")
    assert bench.value(HISTORY) == 0
    bench.publisher.error = None
    wait_until(lambda: bench.value(HISTORY) == 2, "both are recorded")
    assert len(bench.publisher.messages) == 2
    assert bench.settler.stop(10.0)


def test_the_answer_of_a_no_trace_job_never_lies_in_the_outbox(bench: Bench) -> None:
    bench.translate(2, no_trace=True)
    bench.settler.work()
    assert (bench.value(HISTORY), bench.value(EVENTS), len(bench.publisher.messages)) == (2, 0, 2)
    assert bench.values(NEXT_OFFSETS)[0] == 2


def test_a_recorded_no_trace_job_gets_no_second_answer_when_it_would_be_refused_now(bench: Bench) -> None:
    bench.translate(2, no_trace=True)
    bench.settler.work()
    again = Bench(bench.database, bench.server, cluster=bench.cluster)
    again.admission.serve(ServedModels([German()]))
    again.values("UPDATE ingest_lease SET next_offset = 0 RETURNING next_offset")
    bench.broker.close(0)
    again.intake.turn(again.join())
    again.admitter.work()
    again.settler.work()
    assert again.publisher.messages == []
    assert (again.value(HISTORY), again.values(NEXT_OFFSETS)) == (2, [2, 0])


def test_an_interactive_job_is_recorded_while_bulk_waits_for_a_lock(bench: Bench) -> None:
    urgent = ("jobs.interactive", 0)
    bench.cluster = MemoryCluster([ZERO, urgent])
    bench.publish(1)
    bench.publish(1, urgent, lane="interactive")  # the same text: it shares the translation of the bulk job
    bench.intake.turn(bench.join())
    bench.admitter.work()
    Admitter(bench.pipeline, bench.admission, bench.database, fuse=1_000, lane="interactive").work()
    bench.engine.work()
    settlers = [bench.settler, Settler(bench.pipeline, bench.database, bench.publisher, lane="interactive")]
    with transaction(bench.database) as other:
        other.execute(text("SELECT FROM ingest_lease WHERE topic = 'jobs.bulk' FOR UPDATE"))
        for settler in settlers:
            settler.start()
        wait_until(lambda: bench.values("SELECT lane FROM translation") == ["interactive"], "it is recorded")
    wait_until(lambda: bench.value(HISTORY) == 2, "bulk is recorded too")
    assert all(settler.stop(10.0) for settler in settlers)
    assert bench.value("SELECT count(DISTINCT batch_id) FROM translation") == 1
