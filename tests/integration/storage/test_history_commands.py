"""`dragoman history` and `dragoman db`, as a person or a program runs them."""

import json
import socket
import subprocess
import sys
from typing import Any

import pytest
from click.testing import CliRunner, Result
from dragoman.cli.main import dragoman
from dragoman.errors import DragomanError
from dragoman.storage.revision import head_revision
from dragoman.storage.settlement import settle

pytestmark = pytest.mark.services


def run(*arguments: str) -> Result:
    return CliRunner().invoke(dragoman, arguments, catch_exceptions=False)


@pytest.fixture
def empty_database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRAGOMAN_DATABASE_URL", database_url)


@pytest.fixture
def recorded(bench: Any, history_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRAGOMAN_DATABASE_URL", history_url)
    rows = (
        bench.row(1, source_text="A [bold]long[/bold] text\nwith \x1b[31mcolour\u202e. " + 40 * "word "),
        bench.row(2, status="rejected", reason="empty_text", detail="The text is empty.", target_text=None),
    )
    settle(bench.engine, bench.settlement(*rows))


def test_a_row_is_one_harmless_line_when_the_output_is_a_log(recorded: None) -> None:
    lines = run("history", "tail").output.splitlines()
    assert len(lines) == 3
    assert "A [bold]long[/bold] text with" in lines[1]
    assert "[empty_text] The text is empty." in lines[2]
    assert "\x1b" not in lines[1]
    assert "\u202e" not in lines[1]


def test_each_line_is_a_json_object_when_json_is_asked(recorded: None) -> None:
    rows = [json.loads(line) for line in run("history", "tail", "--json").output.splitlines()]
    assert [row["status"] for row in rows] == ["translated", "rejected"]
    assert rows[0]["submitted_at"] == "2026-01-01T12:00:00+00:00"


def test_only_that_status_is_shown_when_the_tail_is_filtered(recorded: None) -> None:
    rows = run("history", "tail", "--status", "rejected", "--json").output.splitlines()
    assert len(rows) == 1


def test_a_sentence_is_shown_when_a_search_finds_nothing(recorded: None) -> None:
    assert run("history", "search", "zebra").output == "no such row in the history\n"


def test_a_row_is_shown_when_a_search_finds_its_words(recorded: None) -> None:
    assert "empty_text" in run("history", "search", "sentence", "2").output


def test_the_figures_are_shown_when_stats_are_asked(recorded: None) -> None:
    assert "status rejected" in run("history", "stats").output
    assert json.loads(run("history", "stats", "--json").output)["rows"] == 2


def test_every_column_is_shown_when_a_job_is_asked(recorded: None) -> None:
    job_id = "00000000-0000-0000-0000-000000000002"
    assert "The text is empty." in run("history", "show", job_id).output
    assert json.loads(run("history", "show", job_id, "--json").output)["kafka_offset"] == 2


def test_a_sentence_is_raised_when_the_job_is_unknown(recorded: None) -> None:
    with pytest.raises(DragomanError, match="has no job"):
        run("history", "show", "00000000-0000-0000-0000-000000000009")


def test_the_database_is_upgraded_and_downgraded_when_asked(empty_database: None) -> None:
    assert "revision none" in run("db", "current").output
    assert f"revision {head_revision()}" in run("db", "upgrade").output
    assert "revision none" in run("db", "downgrade", "base", "--yes").output


def test_the_upgrade_is_asked_for_when_the_tables_are_missing(empty_database: None) -> None:
    with pytest.raises(DragomanError, match="dragoman db upgrade"):
        run("history", "tail")


def test_one_sentence_without_the_password_is_printed_when_the_database_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        monkeypatch.setenv("DRAGOMAN_DATABASE_URL", f"postgresql://someone:secret@{address}/history")
        done = subprocess.run([sys.executable, "-m", "dragoman", "history", "tail"], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"dragoman: the database at {address} cannot be reached")
    assert "secret" not in done.stderr
