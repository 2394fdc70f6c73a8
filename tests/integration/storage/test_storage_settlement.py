"""The commit transaction on a real PostgreSQL: every guard of the delivery protocol, one by one."""

import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from dragoman.errors import DragomanError, TransientError
from dragoman.storage.known_jobs import known_jobs
from dragoman.storage.records import OutboxEvent, PartitionProgress
from dragoman.storage.settlement import CommitUnknownError, settle
from dragoman.tests.commits import before_next_commit
from sqlalchemy import event

pytestmark = pytest.mark.services

JOBS = "SELECT job_id FROM translation ORDER BY job_id"
EVENTS = "SELECT job_id FROM outbox ORDER BY job_id"
NEXT_OFFSET = "SELECT next_offset FROM ingest_lease WHERE partition = 0"
CANARY = "a-text-nobody-may-read-in-a-log"
ONE, TWO, THREE = (UUID(int=number) for number in (1, 2, 3))
OPEN_TRANSACTIONS = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'
"""


def test_rows_events_and_offset_are_written_when_the_lease_is_ours(bench: Any) -> None:
    receipt = settle(bench.engine, bench.settlement(bench.row(1), bench.row(2)))
    assert receipt.recorded == {ONE, TWO}
    assert not receipt.duplicates | receipt.fenced
    assert bench.values(JOBS) == bench.values(EVENTS) == [ONE, TWO]
    assert bench.value(NEXT_OFFSET) == 100


def test_the_offset_moves_when_a_settlement_has_no_row(bench: Any) -> None:
    settle(bench.engine, bench.settlement())
    assert bench.value(NEXT_OFFSET) == 100


def test_nothing_is_written_when_the_epoch_moved_on(bench: Any) -> None:
    bench.take(0, owner="another")
    receipt = settle(bench.engine, bench.settlement(bench.row(1)))
    assert receipt.fenced == {("jobs", 0)}
    assert not receipt.recorded | receipt.duplicates
    assert bench.values(JOBS) == bench.values(EVENTS) == []
    assert bench.value(NEXT_OFFSET) == 0


def test_nothing_is_written_when_nobody_ever_took_the_lease(bench: Any) -> None:
    progress = (PartitionProgress("jobs", 7, 1, 100),)
    receipt = settle(bench.engine, bench.settlement(bench.row(1, kafka_partition=7), progress=progress))
    assert receipt.fenced == {("jobs", 7)}
    assert bench.values(JOBS) == []


def test_nothing_is_written_when_the_lease_belongs_to_another_group(bench: Any) -> None:
    receipt = settle(bench.engine, bench.settlement(bench.row(1), group_id="others"))
    assert receipt.fenced == {("jobs", 0)}
    assert bench.values(JOBS) == []


def test_other_partitions_are_written_when_one_is_fenced(bench: Any) -> None:
    bench.take(1)
    bench.take(0, owner="another")
    progress = (PartitionProgress("jobs", 0, 1, 100), PartitionProgress("jobs", 1, 1, 50))
    rows = (bench.row(1), bench.row(2, kafka_partition=1))
    receipt = settle(bench.engine, bench.settlement(*rows, progress=progress))
    assert (receipt.recorded, receipt.fenced) == ({TWO}, {("jobs", 0)})
    assert bench.values(EVENTS) == [TWO]
    assert bench.values("SELECT next_offset FROM ingest_lease ORDER BY partition") == [0, 50]


def test_a_row_is_dropped_when_it_was_read_under_an_earlier_epoch_of_ours(bench: Any) -> None:
    bench.take(0)
    rows = (bench.row(1, lease_epoch=1), bench.row(2, lease_epoch=2))
    receipt = settle(bench.engine, bench.settlement(*rows, progress=(PartitionProgress("jobs", 0, 2, 2),)))
    assert receipt.recorded == {TWO}
    assert bench.values(JOBS) == bench.values(EVENTS) == [TWO]


def test_a_lease_is_fenced_when_the_database_lost_a_settlement_that_moved_no_offset(bench: Any) -> None:
    # A failover to a late replica loses what was finished behind a job that is still running: epoch and offset stay.
    before = settle(bench.engine, bench.settlement(bench.row(1), progress=(PartitionProgress("jobs", 0, 1, 1),)))
    progress = (PartitionProgress("jobs", 0, 1, 1, recorded_at=before.recorded_at),)
    behind = settle(bench.engine, bench.settlement(bench.row(2), progress=progress))
    with bench.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM translation WHERE kafka_offset = 2")
        connection.exec_driver_sql("UPDATE ingest_lease SET updated_at = %s", (before.recorded_at,))
    progress = (PartitionProgress("jobs", 0, 1, 4, recorded_at=behind.recorded_at),)
    receipt = settle(bench.engine, bench.settlement(bench.row(3), progress=progress))
    assert behind.recorded == {TWO}
    assert (receipt.recorded, receipt.fenced) == (frozenset(), {("jobs", 0)})
    assert bench.values(JOBS) == [ONE]
    assert bench.value(NEXT_OFFSET) == 1


def test_a_lease_is_fenced_when_the_database_lost_what_came_before_it_was_taken(bench: Any) -> None:
    # After the failover somebody else takes the lease, under the epoch that we had, and has recorded nothing yet.
    [lease] = bench.take(0)
    with bench.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE ingest_lease SET updated_at = updated_at - interval '1 second'")
    progress = (PartitionProgress("jobs", 0, lease.epoch, 100, recorded_at=lease.updated_at),)
    row = bench.row(1, lease_epoch=lease.epoch)
    receipt = settle(bench.engine, bench.settlement(row, progress=progress))
    assert (receipt.recorded, receipt.fenced) == (frozenset(), {("jobs", 0)})
    assert bench.value(NEXT_OFFSET) == 0


def test_the_settlement_after_an_unknown_one_is_written_whichever_way_that_ended(bench: Any) -> None:
    [lease] = bench.take(0)
    known = {"recorded_at": lease.updated_at}
    rows = [bench.row(number, lease_epoch=lease.epoch) for number in (1, 2, 3)]
    progress = [PartitionProgress("jobs", 0, lease.epoch, end, **known) for end in (1, 2, 3)]
    settle(bench.engine, bench.settlement(rows[0], progress=(progress[0],)))  # nobody heard of it
    again = settle(bench.engine, bench.settlement(*rows[:2], progress=(progress[1],)))
    last = replace(progress[2], recorded_at=again.recorded_at)
    assert again.recorded == {TWO}
    assert settle(bench.engine, bench.settlement(rows[2], progress=(last,))).recorded == {UUID(int=3)}


def test_a_settlement_that_moves_no_offset_leaves_a_suspect_a_suspect(bench: Any) -> None:
    bench.take(0)
    bench.take(0)
    settle(bench.engine, bench.settlement(progress=(PartitionProgress("jobs", 0, 3, 0),)))
    stalled = "SELECT stalled_acquisitions FROM ingest_lease"
    before = bench.value(stalled)
    settle(bench.engine, bench.settlement(progress=(PartitionProgress("jobs", 0, 3, 1),)))
    assert (before, bench.value(stalled)) == (2, 0)


def test_the_first_row_stays_when_a_job_is_published_again(bench: Any) -> None:
    first, again = bench.row(1), bench.row(1, kafka_offset=9, target_text="Autre phrase.")
    settle(bench.engine, bench.settlement(first))
    receipt = settle(bench.engine, bench.settlement(again, events=((bench.event(again, 1),),)))
    assert (receipt.recorded, receipt.duplicates) == (frozenset(), {ONE})
    assert bench.values("SELECT target_text FROM translation") == ["Phrase 1."]
    assert bench.values(EVENTS) == [ONE]


def test_one_row_and_one_event_are_written_when_a_settlement_has_a_job_twice(bench: Any) -> None:
    first, again = bench.row(1), bench.row(1, kafka_offset=9, target_text="Autre phrase.")
    events = (bench.event(first, 0),), (bench.event(again, 1),)
    receipt = settle(bench.engine, bench.settlement(first, again, events=events))
    assert receipt.recorded == receipt.duplicates == {ONE}
    assert bench.values("SELECT target_text FROM translation") == ["Phrase 1."]
    assert bench.values("SELECT event_id FROM outbox") == [events[0][0].event_id]


def test_both_events_are_written_when_a_job_has_one_for_each_of_two_topics(bench: Any) -> None:
    row = bench.row(1)
    letter = OutboxEvent(UUID(int=77), row.job_id, "dead-letters", None, (), b"\x00\xff")
    settle(bench.engine, bench.settlement(row, events=((bench.event(row), letter),)))
    assert bench.values("SELECT topic FROM outbox ORDER BY id") == ["results", "dead-letters"]


def test_only_the_inserted_copy_is_answered_when_copies_of_a_job_ended_differently(bench: Any) -> None:
    translated = bench.row(1)
    late = bench.row(1, kafka_offset=9, status="rejected", reason="deadline_passed", target_text=None)
    letter = OutboxEvent(UUID(int=77), late.job_id, "dead-letters", None, (), b"late")
    events = (bench.event(translated),), (bench.event(late, 1), letter)
    settle(bench.engine, bench.settlement(translated, late, events=events))
    assert bench.values("SELECT status FROM translation") == ["translated"]
    assert bench.values("SELECT event_id FROM outbox") == [events[0][0].event_id]


def test_the_copy_of_a_lost_partition_is_not_answered_when_the_other_is_recorded(bench: Any) -> None:
    bench.take(1)
    lost = bench.row(1, kafka_partition=1, lease_epoch=0, status="rejected", reason="deadline_passed")
    translated = bench.row(1)
    events = (bench.event(lost, 1),), (bench.event(translated),)
    progress = (PartitionProgress("jobs", 0, 1, 5), PartitionProgress("jobs", 1, 0, 5))
    settle(bench.engine, bench.settlement(lost, translated, events=events, progress=progress))
    assert bench.values("SELECT event_id FROM outbox") == [events[1][0].event_id]


def test_nothing_is_doubled_when_a_settlement_is_repeated(bench: Any) -> None:
    settlement = bench.settlement(bench.row(1), bench.row(2))
    settle(bench.engine, settlement)
    receipt = settle(bench.engine, settlement)
    assert (receipt.recorded, receipt.duplicates) == (frozenset(), {ONE, TWO})
    assert bench.values(JOBS) == bench.values(EVENTS) == [ONE, TWO]


def test_no_event_returns_when_a_settlement_is_repeated_after_its_publication(
    bench: Any,
) -> None:
    settlement = bench.settlement(bench.row(1))
    settle(bench.engine, settlement)
    bench.values("DELETE FROM outbox RETURNING id")
    settle(bench.engine, settlement)
    assert bench.values(EVENTS) == []


def test_the_offset_never_goes_back_when_settlements_arrive_out_of_order(bench: Any) -> None:
    settle(bench.engine, bench.settlement(bench.row(1)))
    settle(bench.engine, bench.settlement(bench.row(2), progress=(PartitionProgress("jobs", 0, 1, 5),)))
    assert bench.value(NEXT_OFFSET) == 100


def test_the_first_offset_is_written_when_the_lease_had_none(bench: Any) -> None:
    bench.values("UPDATE ingest_lease SET next_offset = NULL RETURNING 1")
    settle(bench.engine, bench.settlement())
    assert bench.value(NEXT_OFFSET) == 100


def test_a_batch_is_written_with_its_padding_ratio_when_one_of_its_rows_is_new(bench: Any) -> None:
    batches = (bench.batch(8), bench.batch(9))
    settle(bench.engine, bench.settlement(bench.row(1, batch_id=UUID(int=8)), batches=batches))
    assert bench.values("SELECT id FROM batch") == [UUID(int=8)]
    assert bench.value("SELECT padding_ratio FROM batch") == 0.25


def test_no_batch_is_written_when_all_its_rows_are_duplicates(bench: Any) -> None:
    settle(bench.engine, bench.settlement(bench.row(1)))
    again = bench.row(1, batch_id=UUID(int=8))
    settle(bench.engine, bench.settlement(again, batches=(bench.batch(8),)))
    assert bench.values("SELECT id FROM batch") == []


def test_nothing_is_left_and_a_repeat_records_once_when_the_backend_dies_in_the_middle(
    bench: Any, kill_backend: Any
) -> None:
    settlement = bench.settlement(bench.row(1), bench.row(2))

    @event.listens_for(bench.engine, "after_cursor_execute", once=True)
    def die_after_limits(conn: Any, *_: Any) -> None:
        kill_backend(conn.connection.dbapi_connection.get_backend_pid())

    with pytest.raises(TransientError):
        settle(bench.engine, settlement)
    assert bench.values(JOBS) == []
    assert settle(bench.engine, settlement).recorded == {ONE, TWO}
    assert bench.values(JOBS) == bench.values(EVENTS) == [ONE, TWO]


def test_a_repeat_records_once_when_the_backend_dies_before_the_commit(bench: Any, kill_backend: Any) -> None:
    settlement = bench.settlement(bench.row(1))

    def die(connection: Any, _: Any) -> None:
        kill_backend(connection.connection.dbapi_connection.get_backend_pid())

    before_next_commit(bench.engine, die)
    with pytest.raises(CommitUnknownError, match="lost during COMMIT"):
        settle(bench.engine, settlement)
    assert bench.values(JOBS) == []
    assert settle(bench.engine, settlement).recorded == {ONE}
    assert bench.values(EVENTS) == [ONE]


def test_a_repeat_finds_only_duplicates_when_the_commit_was_not_answered(bench: Any, kill_backend: Any) -> None:
    settlement = bench.settlement(bench.row(1))

    def commit_then_die(connection: Any, send: Callable[[], None]) -> None:
        send()
        kill_backend(connection.connection.dbapi_connection.get_backend_pid())

    before_next_commit(bench.engine, commit_then_die)
    with pytest.raises(CommitUnknownError):
        settle(bench.engine, settlement)
    receipt = settle(bench.engine, settlement)
    assert (receipt.recorded, receipt.duplicates) == (frozenset(), {ONE})
    assert bench.values(JOBS) == bench.values(EVENTS) == [ONE]


def test_the_connection_is_good_again_when_a_settlement_was_refused(bench: Any) -> None:
    for _ in range(20):
        with pytest.raises(DragomanError):
            settle(bench.engine, bench.settlement(bench.row(1, status="strange")))
    assert settle(bench.engine, bench.settlement(bench.row(1))).recorded == {ONE}
    assert bench.value(OPEN_TRANSACTIONS) == 0


def test_a_settlement_takes_three_round_trips(bench: Any) -> None:
    sent: list[str] = []
    event.listen(bench.engine, "before_cursor_execute", lambda *told: sent.append(told[2]))
    event.listen(bench.engine, "commit", lambda _: sent.append("COMMIT"))
    settle(bench.engine, bench.settlement(bench.row(1), bench.row(2)))
    assert [statement.split()[0] for statement in sent] == ["BEGIN;", "WITH", "INSERT"]
    assert sent[-1].endswith("; COMMIT")


def test_two_workers_record_each_job_once_when_they_settle_the_same_jobs_at_once(bench: Any) -> None:
    bench.take(1)
    rows = [bench.row(number) for number in range(1, 301)]
    copies = [bench.row(number, kafka_partition=1) for number in range(300, 0, -1)]
    settlements = [
        bench.settlement(*rows),
        bench.settlement(*copies, progress=(PartitionProgress("jobs", 1, 1, 300),)),
    ]
    with ThreadPoolExecutor(2) as pool:
        receipts = list(pool.map(lambda settlement: settle(bench.engine, settlement), settlements))
    assert sorted(len(receipt.recorded) for receipt in receipts) == [0, 300]
    assert bench.value("SELECT count(*) FROM outbox") == 300


def test_rows_are_locked_in_the_order_of_their_jobs_whatever_the_order_of_the_settlement(bench: Any) -> None:
    settle(bench.engine, bench.settlement(bench.row(3), bench.row(1), bench.row(2)))
    assert bench.values("SELECT job_id FROM translation ORDER BY ctid") == [ONE, TWO, THREE]


def test_nobody_can_take_the_lease_when_a_settlement_is_being_written(bench: Any) -> None:
    refused: list[bool] = []

    @event.listens_for(bench.engine, "after_cursor_execute")
    def take_it(conn: Any, cursor: Any, statement: str, *_: Any) -> None:
        if 'INSERT INTO "translation"' in statement:
            with pytest.raises(TransientError, match="55P03"):
                bench.take(0, owner="another")
            refused.append(True)

    settle(bench.engine, bench.settlement(bench.row(1)))
    assert refused == [True]


def test_a_frozen_owner_is_bounded_when_it_holds_the_lease_in_a_transaction(bench: Any) -> None:
    limits: list[tuple[str, ...]] = []

    def look(connection: Any, _: Any) -> None:
        cursor = connection.connection.cursor()
        cursor.execute(
            "SELECT current_setting('lock_timeout'), current_setting('statement_timeout'), "
            "current_setting('idle_in_transaction_session_timeout')"
        )
        limits.append(cursor.fetchone())

    before_next_commit(bench.engine, look)
    settle(bench.engine, bench.settlement())
    assert limits == [("2s", "10s", "5s")]


@pytest.mark.parametrize(
    "changes",
    [
        {"source_text": CANARY + "\0"},
        {"target_text": CANARY + "\ud800"},
        {"metadata": {"note": CANARY + "\0"}},
        {"metadata": {"note": CANARY + "\udfff"}},
        {"status": CANARY},
    ],
    ids=["nul", "surrogate", "nul in json", "surrogate in json", "unknown status"],
)
def test_the_error_is_permanent_and_quotes_nothing_when_a_row_cannot_be_stored(
    bench: Any, changes: dict[str, Any]
) -> None:
    with pytest.raises(DragomanError) as caught:
        settle(bench.engine, bench.settlement(bench.row(1, detail=CANARY, **changes), bench.row(2)))
    assert not isinstance(caught.value, TransientError)
    assert CANARY not in "".join(traceback.format_exception(caught.value))
    assert bench.values(JOBS) == []


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "NULL",
        "{a,b}",
        'quote " and \\ and \\"',
        "it's 100 %",
        "line\nbreak\ttab",
        "\u202eright\u202c 🐈 \ufeff",
    ],
)
def test_a_text_comes_back_as_it_was_when_it_is_full_of_special_characters(bench: Any, stored: str) -> None:
    settle(bench.engine, bench.settlement(bench.row(1, source_text=stored, metadata={"note": stored})))
    assert bench.value("SELECT source_text FROM translation") == stored
    assert bench.value("SELECT metadata->>'note' FROM translation") == stored


def test_only_recorded_jobs_are_named_when_one_asks(bench: Any) -> None:
    settle(bench.engine, bench.settlement(bench.row(1), bench.row(2)))
    assert known_jobs(bench.engine, [TWO, THREE]).recorded == {TWO}
    assert known_jobs(bench.engine, []).recorded == frozenset()
