"""What an analyst asks of the history, on a real PostgreSQL."""

from typing import Any
from uuid import UUID

import pytest
from dragoman.errors import DragomanError
from dragoman.storage.engine import transaction
from dragoman.storage.history import HistoryFilter, PairCount, count, get, search, stats, tail
from dragoman.storage.maintenance import maintain
from dragoman.storage.settlement import settle

pytestmark = pytest.mark.services


@pytest.fixture(params=["just recorded", "with documents"])
def told(bench: Any, request: pytest.FixtureRequest) -> Any:
    """Three rows, with search documents or without."""
    told_rows(bench)
    if request.param == "with documents":
        assert maintain(bench.engine).documents == 3
    return bench


def told_rows(bench: Any) -> None:
    """Three rows, recorded one after the other."""
    rows = (
        bench.row(1, source_text="The cat sleeps.", target_text="Le chat dort.", batch_id=UUID(int=8)),
        bench.row(2, source_text="100% of it", target_text="Alles", target_language="de", client_id="other"),
        bench.row(3, source_text="A CAT again", target_text=None, status="rejected", reason="too_long"),
    )
    for row in rows:
        settle(bench.engine, bench.settlement(row, batches=(bench.batch(8),)))


def found(told: Any, *words: str, filters: HistoryFilter | None = None) -> list[int]:
    with transaction(told.engine) as connection:
        return [recorded.row.job_id.int for recorded in search(connection, words, filters or HistoryFilter())]


def test_the_newest_rows_end_the_list_when_the_tail_is_asked(told: Any) -> None:
    with transaction(told.engine) as connection:
        assert [recorded.row.job_id.int for recorded in tail(connection, 2)] == [2, 3]


def test_only_matching_rows_are_listed_when_the_tail_is_filtered(told: Any) -> None:
    with transaction(told.engine) as connection:
        filters = HistoryFilter(client_id="someone", source_language="en", target_language="fr", status="translated")
        assert [recorded.row.job_id.int for recorded in tail(connection, 9, filters)] == [1]
        assert count(connection, filters) == 1


def test_a_word_is_found_in_source_and_target_whatever_its_case(told: Any) -> None:
    assert found(told, "cat") == [3, 1]
    assert found(told, "DORT") == [1]


def test_every_word_must_be_there_when_several_are_searched(told: Any) -> None:
    assert found(told, "cat", "chat") == [1]


def test_a_search_is_narrowed_when_it_is_filtered(told: Any) -> None:
    assert found(told, "cat", filters=HistoryFilter(status="rejected")) == [3]


@pytest.mark.parametrize(("word", "jobs"), [("100%", [2]), ("%", [2]), ("_", []), ("\\", [])])
def test_wildcards_mean_themselves_when_they_are_searched(told: Any, word: str, jobs: list[int]) -> None:
    assert found(told, word) == jobs


def test_nothing_happens_when_a_word_is_an_attempt_to_inject_sql(told: Any) -> None:
    assert found(told, "'; DROP TABLE translation; --", "%' OR 1=1 --") == []
    with transaction(told.engine) as connection:
        assert count(connection) == 3


@pytest.mark.parametrize("word", ["a\0b", "a\udcff"])
def test_a_sentence_is_raised_when_no_text_can_hold_the_word(told: Any, word: str) -> None:
    with pytest.raises(DragomanError, match="search word"):
        found(told, word)


def test_a_row_comes_back_as_it_was_written_when_it_is_asked_by_its_job(told: Any) -> None:
    with transaction(told.engine) as connection:
        recorded = get(connection, UUID(int=3))
        assert get(connection, UUID(int=99)) is None
    assert recorded is not None
    row = recorded.row
    assert (row.status, row.reason, row.options, row.submitted_at.isoformat()) == (
        "rejected",
        "too_long",
        {},
        "2026-01-01T12:00:00+00:00",
    )


@pytest.mark.parametrize("is_summed_up", [False, True])
def test_the_history_is_counted_and_measured_when_its_stats_are_asked(bench: Any, *, is_summed_up: bool) -> None:
    told_rows(bench)
    bench.values("UPDATE translation SET recorded_at = submitted_at + interval '2 seconds' RETURNING 1")
    if is_summed_up:
        assert maintain(bench.engine).rows_summed_up == 3
    with transaction(bench.engine) as connection:
        figures = stats(connection)
    assert (figures.rows, figures.by_status) == (3, {"translated": 2, "rejected": 1})
    assert figures.by_pair == (PairCount("en", "fr", 2), PairCount("en", "de", 1))
    assert figures.by_model_version == {"tiny-en-fr@000000000000": 3}
    assert (figures.p50_seconds, figures.p95_seconds) == pytest.approx((2.0, 2.0), rel=0.05)
    assert (figures.source_pieces, figures.target_pieces) == (12, 15)
    assert (figures.batches, figures.padding_ratio) == (1, 0.25)


def test_the_figures_are_empty_when_the_history_is(bench: Any) -> None:
    with transaction(bench.engine) as connection:
        figures = stats(connection)
    assert (figures.rows, figures.p50_seconds, figures.padding_ratio) == (0, None, None)
