"""Retention on a real PostgreSQL: what is old goes, what is not stays, and an hour's work is not done twice."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from click.testing import CliRunner
from dragoman.cli.main import dragoman
from dragoman.storage.audit import last_events
from dragoman.storage.clients import set_client
from dragoman.storage.engine import transaction
from dragoman.storage.erasure import ERASED
from dragoman.storage.maintenance import maintain
from dragoman.storage.partitions import Month, make_partition, partitions_of
from dragoman.storage.retention import Retention, drop_old_months, erase_old_texts
from dragoman.storage.settlement import settle
from dragoman.storage.watermarks import watermark
from dragoman.tests.database_scan import tables_holding
from sqlalchemy import text

pytestmark = pytest.mark.services

CANARY = "Zanzibarcanary"
NOW = datetime.now(UTC)
LONG_AGO = Month(2021, 12)


def record(bench: Any, number: int, age_days: float, **changes: Any) -> None:
    """Record a row as if so many days ago."""
    row = bench.row(number, source_text=f"{CANARY} {number}", **changes)
    settle(bench.engine, bench.settlement(row))
    with transaction(bench.engine) as connection:
        connection.execute(
            text("UPDATE translation SET recorded_at = :at WHERE job_id = :job"),
            {"at": NOW - timedelta(days=age_days), "job": row.job_id},
        )


def agree(bench: Any, client: str, **changes: Any) -> None:
    with transaction(bench.engine) as connection:
        set_client(connection, client, changes, "someone")


def with_text(bench: Any) -> list[int]:
    found = bench.values("SELECT job_id FROM translation WHERE source_text IS NOT NULL ORDER BY 1")
    return [job_id.int for job_id in found]


def months(bench: Any) -> list[str]:
    with transaction(bench.engine) as connection:
        return partitions_of(connection, "translation")


def test_texts_older_than_what_is_agreed_are_removed(bench: Any) -> None:
    agree(bench, "short", retention_days=1)
    agree(bench, "always", retention_days=0)
    for number, (client, age_days) in enumerate(
        [("short", 2.0), ("short", 0.5), ("always", 900.0), ("plain", 40.0), ("plain", 20.0)], 1
    ):
        record(bench, number, age_days, client_id=client)
    assert erase_old_texts(bench.engine, Retention(days=30)) == 2
    assert with_text(bench) == [2, 3, 5]


def test_nothing_is_removed_when_nothing_is_agreed_and_nothing_set(bench: Any) -> None:
    record(bench, 1, 9_000.0)
    assert erase_old_texts(bench.engine, Retention()) == 0
    assert with_text(bench) == [1]


def test_the_search_forgets_old_texts_too(bench: Any) -> None:
    record(bench, 1, 40.0)
    maintain(bench.engine)
    assert "search_word" in tables_holding(bench.engine, CANARY)
    assert maintain(bench.engine, Retention(days=30)).rows_erased == 1
    assert tables_holding(bench.engine, CANARY) == []
    with transaction(bench.engine) as connection:
        (event,) = last_events(connection, 1)
    assert (event.actor, event.action, event.details) == ("retention", "old_texts_erased", {"rows": 1})


def test_workers_are_told_once_an_hour_at_most(bench: Any) -> None:
    """What the hour's work has passed is not looked at again before the next one."""
    record(bench, 1, 40.0)
    noon = NOW.replace(minute=10)
    assert erase_old_texts(bench.engine, Retention(days=30), noon) == 1
    record(bench, 2, 40.0)
    with transaction(bench.engine) as connection:
        before = watermark(connection, ERASED)
    assert erase_old_texts(bench.engine, Retention(days=30), noon + timedelta(minutes=40)) == 0
    with transaction(bench.engine) as connection:
        assert watermark(connection, ERASED) == before


def test_rows_that_grow_old_later_are_removed_later(bench: Any) -> None:
    record(bench, 1, 40.0)
    record(bench, 2, 20.0)
    assert erase_old_texts(bench.engine, Retention(days=30)) == 1
    assert erase_old_texts(bench.engine, Retention(days=30), NOW + timedelta(days=15)) == 1
    assert with_text(bench) == []


@pytest.fixture
def old_month(bench: Any) -> Any:
    """Rows 1 and 2 of December 2021, in its partition; row 3 is of this month, row 4 of no partition."""
    with transaction(bench.engine) as connection:
        make_partition(connection, LONG_AGO)
    for number in (1, 2):
        record(bench, number, 1_000.0, job_id=UUID(int=LONG_AGO.first_id.int + number))
    record(bench, 3, 0.0, job_id=UUID(int=Month.of(NOW).first_id.int + 3))
    record(bench, 4, 1_000.0, job_id=UUID(int=Month(2020, 1).first_id.int + 4))
    with transaction(bench.engine) as connection:
        connection.execute(text("DELETE FROM outbox"))
    yield bench
    with transaction(bench.engine) as connection:
        connection.execute(text(f"DROP TABLE IF EXISTS {LONG_AGO.partition}"))


def test_a_month_goes_with_its_rows_and_documents_and_the_sums_stay(old_month: Any) -> None:
    assert maintain(old_month.engine, Retention(months=12)).dropped == (LONG_AGO.partition,)
    assert old_month.value("SELECT count(*) FROM translation") == 1
    assert old_month.value("SELECT count(*) FROM search_document") == 1
    assert old_month.value("SELECT sum(rows)::int FROM usage_by_hour") == 4
    with transaction(old_month.engine) as connection:
        actions = [event.action for event in last_events(connection, 2)]
    assert actions == ["month_dropped", "strays_dropped"]


def test_no_month_goes_when_all_are_kept_or_it_is_not_old_enough(old_month: Any) -> None:
    before = months(old_month)
    maintain(old_month.engine)
    assert drop_old_months(old_month.engine, Retention(months=12), datetime(2022, 12, 31, tzinfo=UTC)) == ()
    assert months(old_month) == before
    assert drop_old_months(old_month.engine, Retention(months=12), datetime(2023, 1, 1, tzinfo=UTC)) != ()


def test_a_month_waits_when_an_event_of_it_waits_or_its_rows_are_not_summed_up(old_month: Any) -> None:
    assert drop_old_months(old_month.engine, Retention(months=1)) == ()
    maintain(old_month.engine)
    with transaction(old_month.engine) as connection:
        connection.execute(
            text(
                "INSERT INTO outbox (event_id, job_id, topic, headers, payload) "
                "SELECT gen_random_uuid(), job_id, 'results', '[]', '' FROM translation ORDER BY job_id LIMIT 2"
            )
        )
    assert drop_old_months(old_month.engine, Retention(months=1)) == ()
    with transaction(old_month.engine) as connection:
        connection.execute(text("DELETE FROM outbox"))
    assert drop_old_months(old_month.engine, Retention(months=1)) == (LONG_AGO.partition,)


def test_upkeep_says_what_retention_did(old_month: Any, history_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRAGOMAN_DATABASE_URL", history_url)
    monkeypatch.setenv("DRAGOMAN_RETENTION_DAYS", "30")
    monkeypatch.setenv("DRAGOMAN_HISTORY_MONTHS", "12")
    said = CliRunner().invoke(dragoman, ("db", "maintain"), catch_exceptions=False).output
    assert "texts of rows removed: 3" in said
    assert f"months dropped: {LONG_AGO.partition}" in said
