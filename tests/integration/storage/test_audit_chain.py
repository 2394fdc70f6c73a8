"""The audit chain on a real PostgreSQL: it only grows, stays one chain, and shows who tampered."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from click.testing import CliRunner
from dragoman.cli.main import dragoman
from dragoman.errors import DragomanError
from dragoman.storage.audit import append_event, last_events, verify_chain
from dragoman.storage.clients import all_clients, no_trace_clients, set_client
from dragoman.storage.engine import create_database_engine, transaction
from dragoman.storage.settlement import settle
from sqlalchemy import text

pytestmark = pytest.mark.services

DETAILS = {"client": "shop", "rows": 3, "words": ["Überraschung"], "nested": {"b": None, "a": True}}


@pytest.fixture
def chain(bench: Any) -> Any:
    """Four events."""
    for number in range(4):
        with transaction(bench.engine) as connection:
            append_event(connection, "someone", "tested", DETAILS | {"number": number})
    return bench


def tamper(bench: Any, statement: str) -> None:
    """Change the chain as somebody who may alter the table can."""
    with transaction(bench.engine) as connection:
        connection.execute(text("ALTER TABLE audit_event DISABLE TRIGGER USER"))
        connection.execute(text(statement))
        connection.execute(text("ALTER TABLE audit_event ENABLE TRIGGER USER"))


def faults(bench: Any, noted_head: str | None = None) -> tuple[str, ...]:
    with transaction(bench.engine) as connection:
        return verify_chain(connection, noted_head).faults


def test_nothing_is_found_in_a_chain_that_nobody_touched(chain: Any) -> None:
    with transaction(chain.engine) as connection:
        report = verify_chain(connection)
        assert (report.events, report.faults) == (4, ())
        assert report.head == f"4:{last_events(connection, 1)[0].hash}"
        assert [event.details["number"] for event in last_events(connection, 2)] == [2, 3]


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("UPDATE audit_event SET actor = 'nobody' WHERE number = 2", "event 2 was changed"),
        ("UPDATE audit_event SET details = '{}' WHERE number = 2", "event 2 was changed"),
        ("UPDATE audit_event SET at = at - interval '1 us' WHERE number = 2", "event 2 was changed"),
        ("UPDATE audit_event SET hash = 'ff' WHERE number = 2", "event 2 was changed"),
        ("DELETE FROM audit_event WHERE number = 2", "missing before event 3: 2"),
        ("DELETE FROM audit_event WHERE number < 3", "missing before event 3: 1 to 2"),
    ],
)
def test_the_event_is_named_when_somebody_tampered(chain: Any, statement: str, sentence: str) -> None:
    tamper(chain, statement)
    assert faults(chain)[0].startswith(sentence)


def test_the_next_event_gives_it_away_when_one_is_written_anew_with_its_own_hash(chain: Any) -> None:
    with transaction(chain.engine) as connection:
        second = last_events(connection, 3)[0]
    forged = second._replace(actor="nobody").expected_hash()
    tamper(chain, f"UPDATE audit_event SET actor = 'nobody', hash = '{forged}' WHERE number = 2")
    assert faults(chain) == ("event 3 does not follow event 2: one of them was written anew",)


def test_a_noted_head_gives_it_away_when_events_were_cut_off_at_the_end(chain: Any) -> None:
    with transaction(chain.engine) as connection:
        head = verify_chain(connection).head
    assert faults(chain, head) == ()
    tamper(chain, "DELETE FROM audit_event WHERE number = 4")
    assert faults(chain) == ()
    assert "cut off" in faults(chain, head)[0]


@pytest.mark.parametrize(
    "statement", ["UPDATE audit_event SET actor = 'x'", "DELETE FROM audit_event", "TRUNCATE audit_event"]
)
def test_the_database_refuses_when_an_event_is_changed(chain: Any, statement: str) -> None:
    with pytest.raises(DragomanError, match="only ever added"), transaction(chain.engine) as connection:
        connection.execute(text(statement))
    assert chain.value("SELECT count(*) FROM audit_event") == 4


def test_the_chain_stays_one_when_many_write_at_once(bench: Any) -> None:
    def write(writer: int) -> None:
        engine = create_database_engine(bench.engine.url.render_as_string(hide_password=False), pool_size=1)
        for number in range(10):
            with transaction(engine) as connection:
                append_event(connection, f"writer {writer}", "tested", {"number": number})
        engine.dispose()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    with transaction(bench.engine) as connection:
        report = verify_chain(connection)
    assert (report.events, report.faults) == (80, ())


def test_an_event_is_gone_when_what_it_tells_of_was_rolled_back(chain: Any) -> None:
    with chain.engine.connect() as connection:
        append_event(connection, "someone", "tested", {})
        connection.rollback()
    with transaction(chain.engine) as connection:
        append_event(connection, "someone", "tested", {})
    assert faults(chain) == ()
    assert chain.value("SELECT max(number) FROM audit_event") == 5


def test_a_client_is_changed_only_where_it_is_asked(bench: Any) -> None:
    with transaction(bench.engine) as connection:
        set_client(connection, "shop", {"retention_days": 30, "no_trace": True}, "someone")
        changed = set_client(connection, "shop", {"retention_days": None, "name": "The shop"}, "someone")
        assert (changed.name, changed.retention_days, changed.no_trace) == ("The shop", None, True)
        assert no_trace_clients(connection) == {"shop"}
        assert last_events(connection, 1)[0].details == {"client": "shop", "retention_days": None, "name": "The shop"}


def test_clients_of_the_history_are_listed_beside_those_with_an_agreement(bench: Any) -> None:
    settle(bench.engine, bench.settlement(bench.row(1, client_id="seen"), bench.row(2, client_id=None)))
    with transaction(bench.engine) as connection:
        set_client(connection, "agreed", {"no_trace": True}, "someone")
        assert [client.id for client in all_clients(connection)] == ["agreed", "seen"]


@pytest.fixture
def commands(bench: Any, history_url: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("DRAGOMAN_DATABASE_URL", history_url)
    return bench


def run(*arguments: str) -> str:
    return CliRunner().invoke(dragoman, arguments, catch_exceptions=False).output


def test_a_person_agrees_with_a_client_and_sees_who_did(commands: Any) -> None:
    assert "shop" in run("clients", "set", "shop", "--retention-days", "30", "--no-trace", "--by", "anna")
    (client,) = [json.loads(line) for line in run("clients", "list", "--json").splitlines()]
    assert (client["id"], client["retention_days"], client["no_trace"]) == ("shop", 30, True)
    (event,) = [json.loads(line) for line in run("audit", "list", "--json").splitlines()]
    assert (event["actor"], event["action"], event["details"]["retention_days"]) == ("anna", "client_changed", 30)
    assert "client_changed" in run("audit", "list")
    assert run("clients", "set", "shop", "--retention-days", "default", "--trace")
    assert "as set" in run("clients", "list")


def test_usage_is_shown_when_nothing_is_to_be_set(commands: Any) -> None:
    assert "nothing to set" in run("clients", "set", "shop")


def test_the_command_fails_with_the_event_when_the_chain_is_broken(chain: Any, commands: Any) -> None:
    assert "4 events" in run("audit", "verify")
    tamper(chain, "DELETE FROM audit_event WHERE number = 2")
    done = subprocess.run([sys.executable, "-m", "dragoman", "audit", "verify"], capture_output=True, text=True)
    assert (done.returncode, "missing before event 3: 2" in done.stderr) == (1, True)
