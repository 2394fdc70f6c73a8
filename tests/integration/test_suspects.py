"""Jobs that a device died with, on a real PostgreSQL: written down before they run again, forgotten when recorded."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from dragoman.errors import TransientError
from dragoman.storage.attempts import begin_attempt, forget_old_attempts, note_suspects
from dragoman.storage.engine import transaction
from dragoman.storage.known_jobs import known_jobs
from dragoman.storage.leases import LeaseRequest, acquire_leases
from dragoman.storage.records import HistoryRow, PartitionProgress, Settlement
from dragoman.storage.settlement import settle
from dragoman.tests.unit.worker.conftest import Builder
from dragoman.tests.unit.worker.devices.bench import Bench
from dragoman.tests.unit.worker.devices.poison import KILL, MODULE
from dragoman.worker.devices.model_source import ImportedSource
from sqlalchemy import Engine, event, text

pytestmark = pytest.mark.services

POISON = ImportedSource(f"{MODULE}:PoisonTranslator")


@pytest.fixture
def worker(database: Engine) -> Iterator[Callable[..., Bench]]:
    """Starts a worker's stage on that database."""
    with ExitStack() as resources:

        def start(**options: Any) -> Bench:
            bench = Bench(Builder(), resources)
            bench.start(POISON, database=database, **options).start()
            return bench

        yield start


def attempts(database: Engine) -> dict[UUID, int]:
    with transaction(database) as connection:
        return dict(connection.execute(text("SELECT job_id, attempts FROM attempt")).all())


def test_suspects_are_noted_once_and_only_attempts_alone_are_counted(database: Engine) -> None:
    first, second = uuid4(), uuid4()
    note_suspects(database, [first, second])
    note_suspects(database, [first])

    assert [begin_attempt(database, first), begin_attempt(database, first)] == [1, 2]
    note_suspects(database, [first])
    assert attempts(database) == {first: 2, second: 0}
    assert known_jobs(database, [first, uuid4()]).attempts == {first: 2}


def test_old_attempts_are_forgotten(database: Engine) -> None:
    old, fresh = uuid4(), uuid4()
    note_suspects(database, [old, fresh])
    with transaction(database) as connection:
        connection.execute(
            text("UPDATE attempt SET updated_at = now() - interval '1 hour' WHERE job_id = :old"), {"old": old}
        )

    assert forget_old_attempts(database, 60.0) == 1
    assert set(attempts(database)) == {fresh}


def test_the_attempts_of_a_job_are_forgotten_in_the_transaction_that_records_it(database: Engine) -> None:
    recorded, other = uuid4(), uuid4()
    note_suspects(database, [recorded, other])
    with transaction(database) as connection:
        acquire_leases(connection, LeaseRequest("group", "worker", (("jobs", 0),), {("jobs", 0): 0}))
    now = datetime.now(UTC)
    row = HistoryRow(
        job_id=recorded,
        client_id="shop",
        lane="bulk",
        source_language="en",
        target_language="fr",
        source_text="a",
        target_text="b",
        status="translated",
        attempt=2,
        submitted_at=now,
        admitted_at=now,
        kafka_topic="jobs",
        kafka_partition=0,
        kafka_offset=0,
        lease_epoch=1,
        worker_id="worker",
    )
    settle(database, Settlement("group", (row,), ((),), (PartitionProgress("jobs", 0, 1, 1),)))

    assert set(attempts(database)) == {other}
    assert known_jobs(database, [recorded, other]).recorded == {recorded}


def test_only_the_poison_fails_and_its_attempts_alone_are_written_down(
    database: Engine, worker: Callable[..., Bench]
) -> None:
    bench = worker(attempts=2)
    bench.wait(["one", "two", KILL, "three"])
    rows = [outcome.row for outcome in bench.outcomes(4) if outcome.row]
    poison = next(row for row in rows if row.source_text == KILL)

    assert {row.source_text: row.status for row in rows} == {
        "one": "translated",
        "two": "translated",
        KILL: "failed",
        "three": "translated",
    }
    assert attempts(database)[poison.job_id] == 2
    assert {count for job, count in attempts(database).items() if job != poison.job_id} <= {0, 1}


def test_nothing_runs_again_before_it_is_written_down(database: Engine, worker: Callable[..., Bench]) -> None:
    bench = worker(attempts=1)
    refusals = iter([True, True, False])

    @event.listens_for(database, "before_cursor_execute")
    def away(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if "INTO attempt" in statement and next(refusals, False):
            assert bench.metric("devices_up") == 0
            raise TransientError("the database is away")

    ended = bench.ended(["one", KILL])

    assert ended == {"one": "translated", KILL: "failed"}
    assert next(refusals, None) is None
    assert bench.stage.database_answers


def test_a_redelivered_suspect_runs_alone_and_spares_its_neighbours(worker: Callable[..., Bench]) -> None:
    bench = worker(attempts=1)
    bench.wait([KILL], attempts=0)
    bench.wait(["one", "two"])
    ended = {outcome.row.source_text: outcome.row for outcome in bench.outcomes(3) if outcome.row}

    assert {text: row.status for text, row in ended.items()} == {
        "one": "translated",
        "two": "translated",
        KILL: "failed",
    }
    assert {ended["one"].attempt, ended["two"].attempt} == {1}


def test_a_poison_that_was_tried_often_enough_under_other_workers_is_failed_without_running(
    database: Engine, worker: Callable[..., Bench]
) -> None:
    bench = worker(attempts=1)
    bench.wait([KILL], attempts=1, before=lambda job_id: begin_attempt(database, job_id))
    (outcome,) = bench.outcomes(1)

    assert outcome.row is not None
    assert (outcome.row.status, outcome.row.attempt) == ("failed", 2)  # among others, and alone
    assert bench.metric("device_restarts_total", fault="exited") == 0
