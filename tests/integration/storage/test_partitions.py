"""The months of the history on a real PostgreSQL."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from dragoman.errors import TransientError
from dragoman.storage.engine import transaction
from dragoman.storage.maintenance import maintain, make_partitions
from dragoman.storage.partitions import REST, STRAYS, Month, make_partition, missing_months
from dragoman.storage.settlement import settle
from sqlalchemy import text

pytestmark = pytest.mark.services

LONG_AGO = Month(2021, 12)


def job_id(month: Month, number: int) -> UUID:
    return UUID(int=month.first_id.int + number)


def partitions(bench: Any) -> dict[str, int]:
    counted = "SELECT tableoid::regclass::text, count(*) FROM translation GROUP BY 1"
    with transaction(bench.engine) as connection:
        return dict(connection.execute(text(counted)).all())


def drop(bench: Any, month: Month) -> None:
    with transaction(bench.engine) as connection:
        connection.execute(text(f"DROP TABLE IF EXISTS {month.partition}"))


def test_a_job_is_recorded_in_the_month_of_its_id(bench: Any) -> None:
    now = Month.of(datetime.now(UTC))
    settle(
        bench.engine, bench.settlement(bench.row(1, job_id=job_id(now, 5)), bench.row(2, job_id=job_id(now.after, 5)))
    )
    assert partitions(bench) == {now.partition: 1, now.after.partition: 1}


def test_a_job_of_a_month_without_partition_is_recorded_all_the_same(bench: Any) -> None:
    settle(bench.engine, bench.settlement(bench.row(1, job_id=job_id(LONG_AGO, 1))))
    assert partitions(bench) == {"translation_other": 1}


def test_a_row_is_tried_again_when_a_partition_was_made_while_it_was_on_its_way_to_the_rest(bench: Any) -> None:
    now = Month.of(datetime.now(UTC))
    settle(bench.engine, bench.settlement(bench.row(1, job_id=job_id(now, 1))))
    astray = f"INSERT INTO {REST} SELECT * FROM {now.partition}"

    with pytest.raises(TransientError, match="partition constraint"), transaction(bench.engine) as connection:
        connection.exec_driver_sql(astray)


def test_a_job_published_again_in_another_month_is_recorded_once(bench: Any) -> None:
    now = Month.of(datetime.now(UTC))
    row = bench.row(1, job_id=job_id(now, 1))
    settle(bench.engine, bench.settlement(row))
    assert settle(bench.engine, bench.settlement(row._replace(kafka_offset=9))).duplicates == {row.job_id}


def test_strays_move_when_their_month_gets_its_partition(bench: Any) -> None:
    settle(bench.engine, bench.settlement(*(bench.row(n, job_id=job_id(LONG_AGO, n)) for n in range(3))))
    try:
        with transaction(bench.engine) as connection:
            assert make_partition(connection, LONG_AGO) == 3
        assert partitions(bench) == {LONG_AGO.partition: 3}
    finally:
        drop(bench, LONG_AGO)


def test_a_month_of_many_strays_is_missing_and_one_of_few_is_not(bench: Any) -> None:
    rows = [bench.row(n, job_id=job_id(LONG_AGO, n)) for n in range(STRAYS)]
    settle(bench.engine, bench.settlement(*rows, bench.row(STRAYS, job_id=job_id(Month(2020, 2), 1))))
    try:
        with transaction(bench.engine) as connection:
            assert missing_months(connection, datetime.now(UTC)) == [LONG_AGO]
        assert make_partitions(bench.engine) == (LONG_AGO.partition,)
        assert partitions(bench) == {LONG_AGO.partition: STRAYS, "translation_other": 1}
    finally:
        drop(bench, LONG_AGO)


def test_months_ahead_are_made_when_they_come_near(bench: Any) -> None:
    later = Month.of(datetime.now(UTC)).after.after.after
    drop(bench, later)
    assert maintain(bench.engine).partitions == (later.partition,)
    assert maintain(bench.engine).partitions == ()
