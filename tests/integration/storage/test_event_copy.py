"""Events of a settlement enter the outbox by COPY, which knows no conflict and no SQLAlchemy error."""

import traceback
from typing import Any
from uuid import UUID

import pytest
from dragoman.errors import DragomanError, TransientError
from dragoman.storage import settlement
from dragoman.storage.outbox import claim_events
from dragoman.storage.settlement import settle
from sqlalchemy import event

pytestmark = pytest.mark.services

CANARY = "a-text-nobody-may-read-in-a-log"
STRANGE = 'quote " and \\ tab\t {a,b} line\nbreak NULL \u202e 🐈'
ONE, TWO = UUID(int=1), UUID(int=2)


@pytest.fixture(autouse=True)
def copies_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settlement, "COPIED_EVENTS", 1)


def test_an_event_is_written_to_the_byte_whatever_it_holds(bench: Any) -> None:
    rows = [bench.row(number) for number in (1, 2, 3)]
    events = [
        bench.event(rows[0])._replace(headers=(("ce_id", STRANGE), ("ce_time", "")), payload=bytes(range(256))),
        bench.event(rows[1])._replace(headers=(), key=None, payload=b""),
        bench.event(rows[2])._replace(text_key="k1", topic=STRANGE, key=b"\0\xff"),
    ]
    settle(bench.engine, bench.settlement(*rows[:2], events=tuple((one,) for one in events[:2])))
    with bench.engine.begin() as connection:
        assert claim_events(connection, 10) == events[:2]
    settle(bench.engine, bench.settlement(rows[2], events=((events[2],),)))
    assert bench.values("SELECT topic FROM outbox WHERE text_key = 'k1'") == [STRANGE]
    assert bytes(bench.value("SELECT key FROM outbox WHERE text_key = 'k1'")) == b"\0\xff"


def test_a_job_is_recorded_again_when_its_row_went_and_its_event_still_waits(bench: Any) -> None:
    settle(bench.engine, bench.settlement(bench.row(1)))
    with bench.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM translation")
    receipt = settle(bench.engine, bench.settlement(bench.row(1), bench.row(2)))
    assert receipt.recorded == {ONE, TWO}
    assert bench.values("SELECT job_id FROM translation ORDER BY 1") == [ONE, TWO]
    assert bench.values("SELECT job_id FROM outbox ORDER BY 1") == [ONE, TWO]


def test_a_repeat_records_once_when_the_backend_dies_before_the_copy(bench: Any, kill_backend: Any) -> None:
    both = bench.settlement(bench.row(1), bench.row(2))
    died: list[str] = []

    @event.listens_for(bench.engine, "after_cursor_execute")
    def die_after_rows(conn: Any, cursor: Any, statement: str, *_: Any) -> None:
        if 'INSERT INTO "translation"' in statement and not died:
            died.append(statement)
            kill_backend(conn.connection.dbapi_connection.get_backend_pid())

    with pytest.raises(TransientError):
        settle(bench.engine, both)
    assert died
    assert bench.values("SELECT job_id FROM translation") == []
    assert settle(bench.engine, both).recorded == {ONE, TWO}
    assert bench.values("SELECT job_id FROM outbox ORDER BY 1") == [ONE, TWO]


@pytest.mark.parametrize("wrong", ["\0", "\ud800"], ids=["nul", "surrogate"])
@pytest.mark.parametrize("place", ["topic", "header"])
def test_the_error_is_permanent_and_quotes_nothing_when_an_event_cannot_be_stored(
    bench: Any, wrong: str, place: str
) -> None:
    row = bench.row(1)
    changes = {"topic": CANARY + wrong} if place == "topic" else {"headers": (("ce_id", CANARY + wrong),)}
    with pytest.raises(DragomanError) as caught:
        settle(bench.engine, bench.settlement(row, events=((bench.event(row)._replace(**changes),),)))
    assert not isinstance(caught.value, TransientError)
    assert CANARY not in "".join(traceback.format_exception(caught.value))
    assert bench.values("SELECT job_id FROM translation") == []


def test_a_full_disk_is_transient_when_it_meets_the_copy(bench: Any) -> None:
    with bench.engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'no space' USING ERRCODE = '53100'; END $$"
        )
        connection.exec_driver_sql("CREATE TRIGGER full_disk BEFORE INSERT ON outbox EXECUTE FUNCTION full_disk()")
    with pytest.raises(TransientError, match="53100"):
        settle(bench.engine, bench.settlement(bench.row(1)))
    with bench.engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER full_disk ON outbox")
    assert settle(bench.engine, bench.settlement(bench.row(1))).recorded == {ONE}
