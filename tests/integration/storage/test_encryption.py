"""Encrypted texts on a real PostgreSQL: nowhere readable, read with the key, rotated while it may be cut off."""

import json
from base64 import b64encode
from typing import Any
from uuid import UUID

import pytest
from click.testing import CliRunner
from dragoman.cli.main import dragoman
from dragoman.errors import ConfigurationError, DragomanError
from dragoman.storage import reencryption
from dragoman.storage.engine import transaction
from dragoman.storage.erasure_request import Request, carry_out
from dragoman.storage.erasure_scope import Scope
from dragoman.storage.history import get, search, tail
from dragoman.storage.maintenance import maintain
from dragoman.storage.migrate import downgrade
from dragoman.storage.outbox import claim_events
from dragoman.storage.reencryption import reencrypt, rows_to_reencrypt
from dragoman.storage.settlement import settle
from dragoman.storage.text_cipher import TextCipher
from dragoman.tests.database_scan import tables_holding
from sqlalchemy import text

pytestmark = pytest.mark.services

CANARY = "Zanzibarcanary"
OLD, NEW = bytes(range(32)), bytes(range(1, 33))
FIRST, SECOND = TextCipher({"old": OLD}), TextCipher({"new": NEW, "old": OLD})


def record(bench: Any, cipher: TextCipher | None, *numbers: int) -> None:
    rows = [bench.row(n, source_text=f"{CANARY} {n}", metadata={"title": f"{CANARY} {n}"}) for n in numbers]
    events = tuple((bench.event(row)._replace(payload=CANARY.encode()),) for row in rows)
    settlement = bench.settlement(*rows, events=events)
    settle(bench.engine, cipher.seal(settlement) if cipher else settlement)


def texts(bench: Any, cipher: TextCipher | None) -> list[str | None]:
    with transaction(bench.engine) as connection:
        return [recorded.row.source_text for recorded in tail(connection, 20, cipher=cipher)]


def test_no_table_holds_the_canary_and_the_key_brings_it_back(bench: Any) -> None:
    record(bench, FIRST, 1)
    maintain(bench.engine)
    assert tables_holding(bench.engine, CANARY) == []
    with transaction(bench.engine) as connection:
        recorded = get(connection, UUID(int=1), FIRST)
        (claimed,) = claim_events(connection, 10, cipher=FIRST)
    assert recorded is not None
    assert (recorded.row.source_text, recorded.row.metadata) == (f"{CANARY} 1", {"title": f"{CANARY} 1"})
    assert claimed == bench.event(recorded.row)._replace(payload=CANARY.encode())


def test_figures_are_read_without_the_key_and_texts_are_not(bench: Any) -> None:
    record(bench, FIRST, 1)
    assert texts(bench, None) == texts(bench, TextCipher({"new": NEW})) == [None]
    with transaction(bench.engine) as connection, pytest.raises(DragomanError, match="key old"):
        claim_events(connection, 10)


def test_a_search_passes_encrypted_texts_over(bench: Any) -> None:
    record(bench, FIRST, 1)
    record(bench, None, 2)
    for _ in range(2):
        with transaction(bench.engine) as connection:
            assert [found.row.job_id.int for found in search(connection, [CANARY])] == [2]
        maintain(bench.engine)
    assert bench.values("SELECT job_id FROM search_document") == [UUID(int=2)]


def test_encrypted_texts_are_erased_by_what_they_hold_with_the_key_and_never_passed_over_without(bench: Any) -> None:
    record(bench, FIRST, 1, 2)
    request = Request(Scope(containing=f"{CANARY} 1"), "anna")
    with pytest.raises(DragomanError, match="key old"):
        carry_out(bench.engine, request, lambda _: None)
    erased = carry_out(bench.engine, request, lambda _: None, FIRST)
    assert erased.rows == {"translation": 1}
    assert bench.values("SELECT text_key FROM translation ORDER BY job_id") == [None, "old"]


def test_every_text_gets_the_first_key_although_it_was_cut_off(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reencryption, "BATCH_ROWS", 2)
    monkeypatch.setattr(reencryption, "ROWS", reencryption.ROWS.replace("LIMIT 1000", "LIMIT 2"))
    record(bench, FIRST, 1, 2, 3)
    record(bench, None, 4, 5)
    maintain(bench.engine)
    before = texts(bench, FIRST)
    assert next(reencrypt(bench.engine, SECOND)) == 2
    with transaction(bench.engine) as connection:
        assert rows_to_reencrypt(connection, SECOND) == 3
    assert sum(reencrypt(bench.engine, SECOND)) == 3
    assert sum(reencrypt(bench.engine, SECOND)) == 0
    assert sorted(map(str, texts(bench, TextCipher({"new": NEW})))) == sorted(map(str, before))
    assert bench.value("SELECT count(*) FROM search_document") == 0


def test_erased_and_no_trace_rows_have_nothing_to_encrypt(bench: Any) -> None:
    record(bench, None, 1)
    carry_out(bench.engine, Request(Scope(job_id=UUID(int=1)), "anna"), lambda _: None)
    settle(bench.engine, bench.settlement(bench.row(2, source_text=None, target_text=None, no_trace=True)))
    assert sum(reencrypt(bench.engine, FIRST)) == 0


def test_a_downgrade_is_refused_while_texts_are_encrypted(bench: Any) -> None:
    record(bench, FIRST, 1)
    with pytest.raises(ConfigurationError, match="are encrypted"):
        downgrade(bench.engine.url.render_as_string(hide_password=False), "0004")


def test_a_person_encrypts_what_is_there_and_reads_it(
    bench: Any, history_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRAGOMAN_DATABASE_URL", history_url)
    record(bench, None, 1)

    def run(*arguments: str) -> str:
        return CliRunner().invoke(dragoman, arguments, catch_exceptions=False).output

    with pytest.raises(ConfigurationError, match="names no key"):
        run("db", "reencrypt")
    monkeypatch.setenv("DRAGOMAN_TEXT_KEYS", f"old:{b64encode(OLD).decode()}")
    maintain(bench.engine)
    assert "encrypted with the key old" in run("db", "reencrypt")
    with transaction(bench.engine) as connection:
        connection.execute(text("DELETE FROM outbox"))
    assert tables_holding(bench.engine, CANARY) == []
    assert json.loads(run("history", "tail", "--json"))["source_text"] == f"{CANARY} 1"
    monkeypatch.delenv("DRAGOMAN_TEXT_KEYS")
    assert "[encrypted]" in run("history", "tail")
