"""A distant database: how often it is asked, and connections that died while nobody used them."""

from typing import Any

import pytest
from dragoman.storage import engine as storage_engine
from dragoman.storage.engine import transaction
from dragoman.storage.records import PartitionProgress
from dragoman.storage.settlement import settle
from sqlalchemy import Engine, event

pytestmark = pytest.mark.services

KILL_THE_OTHERS = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'dragoman' AND pid <> pg_backend_pid()
"""


def statements(engine: Engine) -> list[str]:
    """What is sent from now on."""
    sent: list[str] = []

    @event.listens_for(engine, "before_cursor_execute")
    def listen(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        sent.append(statement)

    return sent


def test_a_settlement_asks_the_database_three_times_before_its_commit(bench: Any) -> None:
    sent = statements(bench.engine)
    progress = (PartitionProgress("jobs", 0, 1, 2),)
    settle(bench.engine, bench.settlement(bench.row(0, attempt=2), bench.row(1), progress=progress))

    assert len(sent) == 3
    assert bench.values("SELECT next_offset FROM ingest_lease") == [2]


def test_a_connection_that_died_while_it_was_idle_is_replaced(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    with transaction(engine) as connection, transaction(engine) as other:
        connection.exec_driver_sql("SELECT 1")
        other.exec_driver_sql("SELECT 1")
    with transaction(engine) as connection:
        assert connection.exec_driver_sql(KILL_THE_OTHERS).scalar_one() == 1
    monkeypatch.setattr(storage_engine, "PING_IDLE_SECONDS", 0.0)

    with transaction(engine) as connection, transaction(engine) as other:
        assert [one.exec_driver_sql("SELECT 1").scalar_one() for one in (connection, other)] == [1, 1]


def test_a_connection_that_was_just_used_is_not_asked_whether_it_lives(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with transaction(engine) as connection:
        connection.exec_driver_sql("SELECT 1")
    monkeypatch.setattr(engine.dialect, "do_ping", lambda _: pytest.fail("it was asked"))

    with transaction(engine) as connection:
        assert connection.exec_driver_sql("SELECT 1").scalar_one() == 1
