"""Search documents and sums on a real PostgreSQL: nothing left out, nothing twice, whenever a row is recorded."""

from typing import Any
from uuid import UUID

import pytest
from dragoman.storage import search_documents, search_index, usage
from dragoman.storage.engine import create_database_engine, transaction
from dragoman.storage.history import search as find
from dragoman.storage.maintenance import ADVISORY_LOCK, maintain
from dragoman.storage.settlement import settle
from sqlalchemy import text

pytestmark = pytest.mark.services

USAGE = "SELECT coalesce(sum(rows), 0)::int FROM usage_by_hour"


def record(bench: Any, *numbers: int, **changes: Any) -> None:
    settle(bench.engine, bench.settlement(*(bench.row(number, **changes) for number in numbers)))


def found(bench: Any, *asked: str, limit: int = 20) -> list[int]:
    with transaction(bench.engine) as connection:
        return [recorded.row.job_id.int for recorded in find(connection, asked, limit=limit)]


def value(bench: Any, statement: str) -> Any:
    with transaction(bench.engine) as connection:
        return connection.execute(text(statement)).scalar_one()


def test_every_row_has_one_document_when_upkeep_runs_again_and_again(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_index, "STRIDE", 2)
    for number in range(1, 8):
        record(bench, number)
        if number % 3 == 0:
            maintain(bench.engine)
    maintain(bench.engine)
    assert value(bench, "SELECT count(*) || '/' || count(DISTINCT job_id) FROM search_document") == "7/7"
    assert found(bench, "sentence") == [7, 6, 5, 4, 3, 2, 1]


def test_every_row_is_in_the_sums_once_when_there_are_more_than_one_transaction_takes(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "STRIDE", 2)
    for number in range(1, 8):
        record(bench, number)
    assert maintain(bench.engine).rows_summed_up == 7
    assert maintain(bench.engine).rows_summed_up == 0
    assert value(bench, "SELECT sum(rows)::int FROM usage") == 7


def test_a_row_whose_transaction_is_still_open_is_not_passed_over(bench: Any) -> None:
    slow = create_database_engine(bench.engine.url.render_as_string(hide_password=False))
    with slow.connect() as writer:
        # It begins before the others, and ends after them.
        writer.execute(text("SELECT pg_current_xact_id()"))
        record(bench, 1)
        maintain(bench.engine)
        columns = "job_id, status, source_text, options, metadata, attempt, submitted_at, admitted_at, kafka_topic"
        writer.execute(
            text(
                f"INSERT INTO translation ({columns}, kafka_partition, kafka_offset, lease_epoch, worker_id) VALUES "
                "('00000000-0000-0000-0000-000000000009', 'translated', 'A late sentence.', '{}', '{}', 1, now(), "
                "now(), 't', 0, 0, 1, 'w')"
            )
        )
        writer.commit()
    slow.dispose()
    maintain(bench.engine)
    assert sorted(found(bench, "sentence")) == [1, 9]
    assert value(bench, "SELECT count(*) FROM search_document") == 2
    assert value(bench, USAGE) == 2


def test_a_search_looks_further_when_the_first_documents_do_not_hold_the_words(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_documents, "FIRST_LOOK", 2)
    record(bench, 1, source_text="100% cotton")
    record(bench, *range(2, 12), source_text="100 percent cotton")
    maintain(bench.engine)
    assert found(bench, "100% cotton") == [1]


def test_the_latest_runs_of_documents_are_searched_first(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1, 6):
        record(bench, number)
    monkeypatch.setattr(search_index, "RUN", 1 << 40)
    maintain(bench.engine)
    assert found(bench, "sentence", limit=2) == [5, 4]


@pytest.mark.parametrize(
    ("source", "asked", "is_found"),
    [
        ("Überraschung!", "überRASCH", True),
        ("l'été indien", "ÉTÉ", True),
        ("cafe\u0301 noir", "café", True),
        ("これは日本語の文です", "日本語", True),
        ("<b>bold</b> claim", "<b>bold", True),
        ("snake_case", "snakeXcase", False),
        ("back\\slash", "k\\s", True),
        ("it's 'quoted' & | ! :* (x)", "'quoted' & |", True),
        ("long " + "x" * 3000, "xxxx", True),
    ],
)
def test_a_word_is_found_in_any_writing(bench: Any, source: str, asked: str, is_found: bool) -> None:
    record(bench, 1, source_text=source, target_text=None)
    assert found(bench, asked) == [1] * is_found
    maintain(bench.engine)
    assert found(bench, asked) == [1] * is_found


def test_sums_and_latest_rows_together_count_every_row_once(bench: Any) -> None:
    record(bench, 1, 2)
    assert value(bench, USAGE) == 2
    maintain(bench.engine)
    record(bench, 3)
    assert value(bench, USAGE) == 3
    maintain(bench.engine)
    maintain(bench.engine)
    assert value(bench, USAGE) == 3
    assert value(bench, "SELECT sum(rows)::int FROM usage") == 3


def test_views_answer_from_sums_and_latest_rows_alike(bench: Any) -> None:
    views = ("daily_volume", "daily_latency", "daily_rejects", "daily_padding", "daily_cost")
    for number in (1, 2):
        row = bench.row(number, batch_id=UUID(int=number), answered_by="model")
        settle(bench.engine, bench.settlement(row, batches=(bench.batch(number),)))
    record(bench, 3, status="rejected", reason="too_long", target_text=None)

    def answers() -> list[Any]:
        with transaction(bench.engine) as connection:
            return [connection.execute(text(f"SELECT * FROM {view} ORDER BY 1, 2, 3")).all() for view in views]

    before = answers()
    assert all(before)
    maintain(bench.engine)
    assert answers() == before


def test_a_latency_from_the_steps_is_near_the_real_one(bench: Any) -> None:
    with transaction(bench.engine) as connection:
        bench_rows = "interval '1 ms' * power(1.03, n)"
        connection.execute(
            text(
                "INSERT INTO translation (job_id, status, options, metadata, attempt, submitted_at, admitted_at, "
                "kafka_topic, kafka_partition, kafka_offset, lease_epoch, worker_id) SELECT gen_random_uuid(), "
                f"'translated', '{{}}', '{{}}', 1, now() - {bench_rows}, now(), 't', 0, n, 1, 'w' "
                "FROM generate_series(1, 300) AS n"
            )
        )
        real = connection.execute(
            text(
                "SELECT percentile_disc(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY extract(epoch FROM recorded_at - "
                "submitted_at)) FROM translation"
            )
        ).scalar_one()
        read = connection.execute(text("SELECT p50_seconds, p95_seconds FROM daily_latency")).one()
    assert [float(figure) for figure in read] == pytest.approx([float(figure) for figure in real], rel=0.055)


def test_one_process_at_a_time_maintains(bench: Any) -> None:
    record(bench, 1)
    with bench.engine.connect() as other:
        other.execute(text("SELECT pg_advisory_lock(:key)"), {"key": ADVISORY_LOCK})
        assert maintain(bench.engine).is_busy
        other.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": ADVISORY_LOCK})
    assert maintain(bench.engine).documents == 1
