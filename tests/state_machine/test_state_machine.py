"""Random histories over the real code: nothing is lost, nothing happens twice; and mistakes in that code show.

DRAGOMAN_TEST_HISTORIES runs more of them, longer, from a random seed: for nights.
"""

import os
import secrets
from collections.abc import Callable, Iterator

import pytest
from dragoman.compose.local import LocalStack
from dragoman.storage import settlement
from dragoman.storage.engine import create_database_engine, transaction
from dragoman.storage.migrate import upgrade
from dragoman.storage.records import OutboxEvent, Receipt, Settlement
from dragoman.tests.state_machine.audit import INSTALL
from dragoman.tests.state_machine.faults import Faults
from dragoman.tests.state_machine.machine import DeliveryMachine, Stage
from dragoman.worker import intake, settler
from dragoman.worker.offsets import OffsetTracker
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import Connection, Engine, text

pytestmark = [pytest.mark.services, pytest.mark.timeout(600)]

# Read when this file is: the tests' own environment has no variables of ours.
HISTORIES = int(os.environ.get("DRAGOMAN_TEST_HISTORIES", "0"))
PLAIN = settings(
    max_examples=HISTORIES or 25,
    stateful_step_count=100 if HISTORIES else 40,
    derandomize=not HISTORIES,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
# A mistake need only be found; the shortest history that shows it is for people.
UNTIL_FOUND = settings(
    PLAIN,
    max_examples=300,
    stateful_step_count=40,
    derandomize=True,
    phases=[Phase.generate],
    report_multiple_bugs=False,
)


@pytest.fixture(scope="module")
def stage(stack: LocalStack) -> Iterator[Stage]:
    """An upgraded database with the audit's triggers, and somebody to kill its connections."""
    server = create_database_engine(stack.database_url).execution_options(isolation_level="AUTOCOMMIT")
    name = f"machine_{secrets.token_hex(6)}"
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    url = server.url.set(database=name).render_as_string(hide_password=False)
    upgrade(url)
    database = create_database_engine(url)
    with transaction(database) as connection:
        connection.execute(text(INSTALL))
        connection.execute(text(f"ALTER DATABASE {name} SET synchronous_commit = off"))
    database.dispose()
    yield Stage(database, Faults(database, server))
    database.dispose()
    with server.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    server.dispose()


@pytest.fixture(autouse=True)
def nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every pause is one for other threads, and there are none."""
    monkeypatch.setattr(intake, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(settler, "FIRST_RETRY_SECONDS", 0.0)


def run(stage: Stage, how: settings) -> None:
    run_state_machine_as_test(lambda: DeliveryMachine(stage), settings=how)


def test_nothing_is_lost_or_done_twice_in_any_history(stage: Stage) -> None:
    run(stage, PLAIN)
    assert stage.faults.bitten > 0


def settle_whatever_epoch(connection: Connection, wanted: Settlement) -> tuple[dict[tuple[str, int], int], None]:
    """The lease is not asked whose it is."""
    connection.exec_driver_sql(settlement.BEGIN)
    return {(entry.topic, entry.partition): entry.epoch for entry in wanted.progress}, None


def all_events(written: list[tuple[object, tuple[OutboxEvent, ...]]], recorded: object) -> list[OutboxEvent]:
    """Events of all rows, those that were there already too."""
    return [event for _, events in written for event in events]


def highest_seen(tracker: OffsetTracker) -> int:
    """The offset after the last polled message, finished or not."""
    return tracker._after_last_polled


def settle_and_hope(original: Callable[[Engine, Settlement], Receipt]) -> Callable[[Engine, Settlement], Receipt]:
    """A COMMIT without an answer counts as done."""

    def settle(engine: Engine, wanted: Settlement) -> Receipt:
        try:
            return original(engine, wanted)
        except settlement.CommitUnknownError:
            return Receipt(frozenset(row.job_id for row in wanted.rows), frozenset(), frozenset())

    return settle


MISTAKES = {
    "written under an old epoch": (settlement, "_lock_leases", settle_whatever_epoch),
    "not exactly one event": (settlement, "_first_events", all_events),
    "passed without a row": (OffsetTracker, "next_offset", property(highest_seen)),
}


@pytest.mark.parametrize("said", MISTAKES)
def test_a_mistake_shows_when_it_is_made(stage: Stage, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setattr(*MISTAKES[said])
    with pytest.raises(AssertionError, match=said):
        run(stage, UNTIL_FOUND)


def test_a_mistake_shows_when_a_commit_without_an_answer_counts_as_done(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settler, "settle", settle_and_hope(settlement.settle))
    with pytest.raises(AssertionError):
        run(stage, UNTIL_FOUND)
