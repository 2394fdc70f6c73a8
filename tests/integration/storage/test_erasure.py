"""Erasing on a real PostgreSQL: a canary is nowhere afterwards, everything else is where it was."""

import json
from base64 import b64encode
from typing import Any
from uuid import UUID

import pytest
from click.testing import CliRunner, Result
from dragoman.cli.main import dragoman
from dragoman.errors import DragomanError, TransientError
from dragoman.storage import erasure
from dragoman.storage.audit import last_events, verify_chain
from dragoman.storage.engine import transaction
from dragoman.storage.erasure import ERASED
from dragoman.storage.erasure_request import Request, carry_out
from dragoman.storage.erasure_scope import Scope
from dragoman.storage.history import search
from dragoman.storage.maintenance import maintain
from dragoman.storage.search_index import index_documents, lock_documents
from dragoman.storage.settlement import settle
from dragoman.storage.watermarks import BEGINNING, watermark
from dragoman.tests.database_scan import tables_holding
from sqlalchemy import text

pytestmark = pytest.mark.services

CANARY = "Zanzibarcanary"
LETTER = json.dumps({"original_value": b64encode(json.dumps({"source_text": CANARY}).encode()).decode()}).encode()


def job(number: int) -> UUID:
    return UUID(int=number)


def record(bench: Any, *rows: Any, payload: bytes = b"{}") -> None:
    events = tuple((bench.event(row)._replace(payload=payload),) for row in rows)
    settle(bench.engine, bench.settlement(*rows, events=events))


@pytest.fixture
def everywhere(bench: Any) -> Any:
    """Jobs 1 to 3 hold the canary in every column that can, job 4 does not; job 3 has no search document yet."""
    result = json.dumps({"translation": f"Ici {CANARY.upper()}"}).encode()
    record(bench, bench.row(1, source_text=f"A {CANARY} here."), payload=result)
    record(bench, bench.row(2, target_text=f"Un {CANARY} ici.", client_id="shop"), payload=result)
    record(bench, bench.row(4, source_text="A bird here.", client_id="shop"))
    maintain(bench.engine)
    with transaction(bench.engine) as connection:
        connection.execute(text("ANALYZE"))
    record(bench, bench.row(3, metadata={"title": CANARY}, detail=CANARY, client_id="shop"), payload=LETTER)
    return bench


def erased(bench: Any, **scope: Any) -> int:
    return carry_out(bench.engine, Request(Scope(**scope), "anna"), lambda _: None).rows["translation"]


def found(bench: Any, *words: str) -> list[int]:
    with transaction(bench.engine) as connection:
        return [row.row.job_id.int for row in search(connection, words)]


def test_the_canary_is_in_no_table_and_no_statistic_when_all_that_hold_it_are_erased(everywhere: Any) -> None:
    assert {"translation", "search_document", "search_word", "outbox"} <= set(tables_holding(everywhere.engine, CANARY))
    assert erased(everywhere, containing=CANARY.upper()) == 3
    assert tables_holding(everywhere.engine, CANARY) == []
    assert found(everywhere, CANARY) == []
    assert found(everywhere, "bird") == [4]
    assert everywhere.value(f"SELECT count(*) FROM pg_stats WHERE most_common_vals::text ILIKE '%{CANARY}%'") == 0


def test_the_rows_stay_and_say_when_they_were_erased(everywhere: Any) -> None:
    erased(everywhere, client_id="shop")
    assert everywhere.values("SELECT job_id FROM translation WHERE erased_at IS NOT NULL ORDER BY 1") == [
        job(2),
        job(3),
        job(4),
    ]
    assert everywhere.value("SELECT sum(rows)::int FROM usage_by_hour") == 4
    assert found(everywhere, "bird") == []
    assert found(everywhere, CANARY) == [1]


def test_a_job_that_was_erased_is_not_recorded_again_when_it_is_published_again(everywhere: Any) -> None:
    erased(everywhere, job_id=job(1))
    again = settle(everywhere.engine, everywhere.settlement(everywhere.row(1, kafka_offset=9)))
    assert again.duplicates == {job(1)}
    assert everywhere.value(f"SELECT source_text IS NULL FROM translation WHERE job_id = '{job(1)}'")


def test_only_what_every_option_means_is_erased(everywhere: Any) -> None:
    assert erased(everywhere, client_id="shop", containing=CANARY) == 2
    assert found(everywhere, CANARY) == [1]
    assert found(everywhere, "bird") == [4]


def test_a_dead_letter_that_waits_is_removed_when_its_row_holds_no_text(bench: Any) -> None:
    record(bench, bench.row(1, source_text=None, target_text=None, status="rejected"), payload=LETTER)
    assert erased(bench, containing=CANARY) == 0
    assert bench.value("SELECT count(*) FROM outbox") == 0


def test_words_stay_that_another_document_has(everywhere: Any) -> None:
    erased(everywhere, containing=CANARY)
    known = everywhere.values("SELECT word FROM search_word")
    assert "here" in known
    assert CANARY.lower() not in known
    assert everywhere.values("SELECT word FROM unsure_word") == []


def test_nothing_is_left_to_do_when_it_is_asked_again(everywhere: Any) -> None:
    assert erased(everywhere, client_id="shop") == 3
    before = everywhere.values("SELECT erased_at FROM translation WHERE client_id = 'shop'")
    assert erased(everywhere, client_id="shop") == 0
    assert everywhere.values("SELECT erased_at FROM translation WHERE client_id = 'shop'") == before


def test_the_rest_is_erased_when_a_first_try_was_cut_off(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasure, "BATCH_ROWS", 2)
    record(bench, *(bench.row(number, source_text=CANARY) for number in range(1, 8)))
    maintain(bench.engine)

    def cut_off(progress: Any) -> None:
        raise TransientError("the connection was lost")

    with pytest.raises(TransientError):
        carry_out(bench.engine, Request(Scope(containing=CANARY), "anna"), cut_off)
    assert bench.value("SELECT count(*) FROM translation WHERE erased_at IS NULL") == 5
    assert erased(bench, containing=CANARY) == 5
    assert tables_holding(bench.engine, CANARY) == []


def test_every_row_of_one_moment_is_erased_when_batches_end_within_it(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasure, "BATCH_ROWS", 3)
    record(bench, *(bench.row(number) for number in range(1, 11)))
    assert erased(bench, client_id="someone") == 10


def test_no_document_of_an_erased_row_is_written_when_upkeep_has_just_begun(bench: Any) -> None:
    """The row is read for its document only after the lock, so after it was erased."""
    record(bench, bench.row(1, source_text=CANARY))
    with transaction(bench.engine) as connection:
        lock_documents(connection)
        waiting = bench.engine.connect()
        waiting.exec_driver_sql("SET lock_timeout = '100ms'")
        with pytest.raises(Exception, match="lock timeout"):
            index_documents(waiting)
        waiting.close()
    erased(bench, job_id=job(1))
    maintain(bench.engine)
    assert tables_holding(bench.engine, CANARY) == []


def test_the_watermark_for_workers_moves_only_when_something_was_erased(everywhere: Any) -> None:
    def mark() -> Any:
        with transaction(everywhere.engine) as connection:
            return watermark(connection, ERASED)

    erased(everywhere, containing="nobody wrote this")
    assert mark() == BEGINNING
    erased(everywhere, job_id=job(1))
    first = mark()
    assert first > BEGINNING
    erased(everywhere, job_id=job(2))
    assert mark() > first


def test_the_audit_chain_tells_of_it_without_the_text(everywhere: Any) -> None:
    erased(everywhere, containing=CANARY)
    with transaction(everywhere.engine) as connection:
        begun, done = last_events(connection, 2)
        assert verify_chain(connection).faults == ()
    assert (begun.action, done.action, done.actor) == ("erasure_begun", "texts_erased", "anna")
    assert done.details["rows"] == {"translation": 3}
    assert CANARY.casefold() not in f"{begun} {done}".casefold()


def test_percent_signs_and_quotation_marks_are_looked_for_as_they_are(bench: Any) -> None:
    record(
        bench, bench.row(1, source_text="100% sure'); DROP TABLE translation; --"), bench.row(2, source_text="100 sure")
    )
    assert erased(bench, containing="100% sure'); DROP") == 1


@pytest.mark.parametrize("blank", ["", "  ", "\n"])
def test_an_empty_text_is_refused(blank: str) -> None:
    with pytest.raises(DragomanError, match="empty"):
        Scope(containing=blank)


def test_a_scope_that_names_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="by mistake"):
        Scope()


@pytest.fixture
def commands(everywhere: Any, history_url: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("DRAGOMAN_DATABASE_URL", history_url)
    return everywhere


@pytest.fixture
def export_log(commands: Any) -> None:
    with transaction(commands.engine) as connection:
        connection.execute(
            text(
                "INSERT INTO export_log (at, who, kind, filters, path) VALUES "
                "('2001-01-01', 'ada', 'history', '{}', 'old.csv'), (now(), 'ada', 'history', '{}', 'new.csv')"
            )
        )


def run(*arguments: str, answer: str = "") -> Result:
    return CliRunner().invoke(dragoman, ("history", "erase", *arguments), input=answer, catch_exceptions=False)


def test_nothing_is_erased_when_it_is_a_dry_run_or_the_answer_is_no(commands: Any) -> None:
    assert run("--containing", CANARY, "--dry-run").output == "rows that hold such texts: translation 3\n"
    assert run("--containing", CANARY, answer="n\n").exit_code == 1
    assert commands.value("SELECT count(*) FROM translation WHERE erased_at IS NOT NULL") == 0
    assert commands.value("SELECT count(*) FROM audit_event") == 0


def test_what_was_erased_and_what_was_not_reached_is_said(commands: Any, export_log: None) -> None:
    output = run("--client", "shop", "--yes", "--because", "they left").output
    assert "erased: translation 3" in output
    assert "new.csv" in output
    assert "old.csv" not in output
    assert "backups" in output
    assert commands.value("SELECT details ->> 'reason' FROM audit_event WHERE action = 'texts_erased'") == "they left"


def test_usage_is_shown_when_nobody_is_named(commands: Any) -> None:
    assert run("--yes").exit_code == 2
