"""`dragoman history export --decrypt`: encrypted rows as they were, beside plain ones, in every format."""

from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from dragoman.cli.main import dragoman
from dragoman.errors import ConfigurationError, DragomanError
from dragoman.storage.audit import last_events
from dragoman.storage.engine import transaction
from dragoman.storage.history_export import ExportFormat
from dragoman.storage.settlement import settle
from dragoman.storage.text_cipher import TextCipher
from dragoman.tests.integration.storage.test_history_export import FORMATS, READ, TEXTS
from sqlalchemy import Engine, event

pytestmark = pytest.mark.services

OLD, NEW = bytes(range(32)), bytes(range(1, 33))
BOTH = f"new:{b64encode(NEW).decode()},old:{b64encode(OLD).decode()}"
# In the order in which PostgreSQL keeps plain JSON.
METADATA = {"": "x", "page": 'the "4th",\nof é'}
NOTE = "written as they are stored, encrypted"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(dragoman, ["history", "export", *map(str, arguments)])


def read(path: Path, name: ExportFormat) -> dict[str, dict[str, Any]]:
    return {str(row["job_id"]): row for row in READ[name](path)}


@pytest.fixture
def recorded(bench: Any, history_url: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The same rows with each of two keys and without any; keys in the setting."""
    monkeypatch.setenv("DRAGOMAN_DATABASE_URL", history_url)
    monkeypatch.setenv("DRAGOMAN_TEXT_KEYS", BOTH)
    ciphers = (TextCipher({"old": OLD}), TextCipher({"new": NEW}), None)
    texts = [*((held, held) for held in TEXTS[:-1]), (None, None), ("x" * 1_000_000, "y")]
    for first, cipher in zip((100, 200, 300), ciphers, strict=True):
        rows = [
            bench.row(first + n, source_text=source, target_text=target, metadata=METADATA, kafka_offset=n)
            for n, (source, target) in enumerate(texts)
        ]
        settlement = bench.settlement(*rows)
        settle(bench.engine, cipher.seal(settlement) if cipher else settlement)
    return bench


def without_identity(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in {"job_id", "recorded_at"}}


@pytest.mark.parametrize("name", FORMATS)
def test_encrypted_rows_come_out_like_plain_ones(recorded: Any, tmp_path: Path, name: ExportFormat) -> None:
    path = tmp_path / f"rows.{name}"
    done = run(path, "--decrypt")

    rows = [without_identity(row) for _, row in sorted(read(path, name).items())]
    third = len(rows) // 3
    assert (done.exit_code, NOTE in done.stderr) == (0, False)
    assert rows[:third] == rows[third : 2 * third] == rows[2 * third :]
    assert [row["source_text"] for row in rows[: len(TEXTS) - 1]] == list(TEXTS[:-1])


@pytest.mark.parametrize("name", FORMATS)
def test_plain_rows_are_the_same_bytes_whether_others_are_decrypted_or_not(
    bench: Any, recorded: Any, tmp_path: Path, name: ExportFormat
) -> None:
    settle(bench.engine, bench.settlement(bench.row(999, client_id="plain", source_text=TEXTS[3], metadata=METADATA)))
    for path, options in ((tmp_path / f"a.{name}", ["--decrypt"]), (tmp_path / f"b.{name}", [])):
        assert run(path, "--client", "plain", *options).exit_code == 0
    assert (tmp_path / f"a.{name}").read_bytes() == (tmp_path / f"b.{name}").read_bytes()


@pytest.mark.parametrize("name", FORMATS)
def test_it_is_said_that_texts_are_encrypted_where_they_are(recorded: Any, tmp_path: Path, name: ExportFormat) -> None:
    assert NOTE in run(tmp_path / f"a.{name}").stderr
    assert NOTE not in run(tmp_path / f"b.{name}", "--client", "nobody").stderr


@pytest.mark.parametrize("name", FORMATS)
def test_it_is_not_said_of_plain_texts_that_look_like_encrypted_rows(
    bench: Any, recorded: Any, tmp_path: Path, name: ExportFormat
) -> None:
    source, metadata = 'x,f,old,\nx,t,new,2026-01-01\n"text_key":"old"', {"text_key": "old", "x": {"text_key": "new"}}
    settle(bench.engine, bench.settlement(bench.row(999, client_id="plain", source_text=source, metadata=metadata)))
    assert NOTE not in run(tmp_path / f"a.{name}", "--client", "plain").stderr


@pytest.mark.parametrize("name", FORMATS)
def test_no_row_is_read_but_by_the_copy_when_the_history_is_exported(
    recorded: Any, tmp_path: Path, name: ExportFormat
) -> None:
    sent: list[str] = []

    def hear(_: Any, __: Any, statement: str, *___: Any) -> None:
        sent.append(statement)

    event.listen(Engine, "before_cursor_execute", hear)
    run(tmp_path / f"a.{name}")
    event.remove(Engine, "before_cursor_execute", hear)
    # COPY is the driver's own affair.
    assert [statement.split()[0] for statement in sent if "FROM translation" in statement] == ["EXPLAIN"]


def test_the_log_of_exports_and_the_audit_chain_say_that_texts_were_decrypted(recorded: Any, tmp_path: Path) -> None:
    run(tmp_path / "a.csv", "--decrypt")
    run(tmp_path / "b.csv")

    assert recorded.values("SELECT filters->'decrypted' FROM export_log ORDER BY id") == [True, None]
    number = recorded.value("SELECT id FROM export_log WHERE filters->'decrypted' IS NOT NULL")
    with transaction(recorded.engine) as connection:
        (event,) = [one for one in last_events(connection, 5) if one.action == "texts_decrypted"]
    assert event.details == {"export": number}


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_is_written_when_a_key_is_missing(
    recorded: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: ExportFormat
) -> None:
    monkeypatch.setenv("DRAGOMAN_TEXT_KEYS", BOTH.split(",")[0])
    refused = run(tmp_path / f"a.{name}", "--decrypt")
    monkeypatch.delenv("DRAGOMAN_TEXT_KEYS")
    without = run(tmp_path / f"a.{name}", "--decrypt")

    assert isinstance(refused.exception, DragomanError)
    assert "key old, which DRAGOMAN_TEXT_KEYS lacks" in str(refused.exception)
    assert isinstance(without.exception, ConfigurationError)
    assert list(tmp_path.iterdir()) == []
