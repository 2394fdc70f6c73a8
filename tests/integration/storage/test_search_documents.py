"""How search documents are found on a real PostgreSQL: the same ones either way, and by bitmaps of single words."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from dragoman.storage import search, search_documents
from dragoman.storage.engine import transaction
from dragoman.storage.history import search as find
from dragoman.storage.maintenance import maintain
from dragoman.storage.partitions import partitions_of
from dragoman.storage.search_documents import documents_with
from dragoman.storage.search_index import RUN, tidy_indexes
from dragoman.storage.settlement import settle
from dragoman.storage.tables import translation
from sqlalchemy import Connection, Engine, event, select, text

pytestmark = pytest.mark.services

# Numbers that are followed by none of the rows'. Every tenth document holds each word, every hundredth both.
MANY_DOCUMENTS = """
INSERT INTO search_document (number, job_id, document)
SELECT n, gen_random_uuid(), array_to_tsvector(ARRAY['w' || n % 997,
  CASE WHEN n % 10 = 0 THEN 'saltwater' ELSE 'w' END, CASE WHEN n / 10 % 10 = 0 THEN 'sugarcane' ELSE 'w' END])
FROM generate_series(10, 20000) AS n
"""
MANY_WORDS = "INSERT INTO search_word VALUES ('salt'), ('saltwater'), ('sugar'), ('sugarcane') ON CONFLICT DO NOTHING"
# Of the lists of words that are in no tree of the index yet.
WAITING_PAGES = """
SELECT sum(gin_clean_pending_list(indexrelid)) FROM pg_index JOIN pg_inherits ON inhrelid = indrelid
JOIN pg_class ON pg_class.oid = indexrelid JOIN pg_am ON pg_am.oid = relam
WHERE inhparent = CAST('search_document' AS regclass) AND amname = 'gin'
"""


def record(bench: Any, *numbers: int, **changes: Any) -> None:
    settle(bench.engine, bench.settlement(*(bench.row(number, **changes) for number in numbers)))


def write_documents(bench: Any, *texts: str) -> None:
    """Of rows with these source texts, numbered from 1."""
    for number, source_text in enumerate(texts, 1):
        record(bench, number, source_text=source_text)
    maintain(bench.engine)


def found(bench: Any, *asked: str, limit: int = 20) -> list[int]:
    with transaction(bench.engine) as connection:
        return [recorded.row.job_id.int for recorded in find(connection, asked, limit=limit)]


@contextmanager
def statements(engine: Engine, word: str) -> Iterator[list[tuple[str, Any]]]:
    """Statements with this word in them that are sent meanwhile, and their parameters."""
    sent: list[tuple[str, Any]] = []

    def hear(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        if word in statement:
            sent.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", hear)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", hear)


def plan_of(connection: Connection, statement: str, parameters: Any) -> list[dict[str, Any]]:
    """The nodes of a statement's plan."""
    (answer,) = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).scalar_one()
    nodes, rest = [], [answer["Plan"]]
    while rest:
        nodes.append(rest.pop())
        rest += nodes[-1].get("Plans", [])
    return nodes


@pytest.fixture
def by_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """One document is read by itself, the index is asked for all others and for every part."""
    monkeypatch.setattr(search_documents, "FIRST_LOOK", 1)
    monkeypatch.setattr(search_documents, "index_cost", lambda _told, _documents: 0.0)
    monkeypatch.setattr(search_documents, "is_worth_asking", lambda _told, _another, _documents: True)


@pytest.mark.usefixtures("by_index")
def test_the_index_is_asked_word_by_word_and_part_by_part_when_both_are_frequent(bench: Any) -> None:
    record(bench, 1)
    maintain(bench.engine)
    with transaction(bench.engine) as connection:
        connection.execute(text(MANY_DOCUMENTS))
        connection.execute(text(MANY_WORDS))
        tidy_indexes(connection, partitions_of(connection, "search_document"))
        with statements(bench.engine, "tsquery[]") as asked:
            jobs = [job for portion in documents_with(connection, ["salt", "sugar"]) for job in portion]
        nodes = plan_of(connection, *asked[0])
    conditions = [node["Index Cond"] for node in nodes if node["Node Type"] == "Bitmap Index Scan"]
    assert len(jobs) == 200
    assert [node["Node Type"] for node in nodes].count("BitmapAnd") == 1
    assert [condition.count("ANY") for condition in conditions] == [1, 1, 1, 1]


def test_no_word_waits_outside_the_index_when_documents_were_written(bench: Any) -> None:
    record(bench, 1, 2, 3)
    maintain(bench.engine)
    assert bench.value(WAITING_PAGES) == 0


@pytest.mark.usefixtures("by_index")
def test_the_vocabulary_ends_the_search_when_no_word_has_the_part(bench: Any) -> None:
    record(bench, 1, 2, 3)
    maintain(bench.engine)
    with statements(bench.engine, "tsquery[]") as asked:
        assert found(bench, "sentence", "xyz") == []
    assert asked == []


def test_neither_vocabulary_nor_index_is_asked_when_the_latest_documents_suffice(bench: Any) -> None:
    record(bench, *range(1, 40))
    maintain(bench.engine)
    with statements(bench.engine, "search_word") as asked:
        assert found(bench, "sentence", limit=5) == [39, 38, 37, 36, 35]
    assert asked == []


@pytest.mark.parametrize("price", [float("inf"), 0.0], ids=["read one by one", "asked of the index"])
def test_the_same_rows_are_found_in_order_whichever_way_is_cheaper(
    bench: Any, monkeypatch: pytest.MonkeyPatch, price: float
) -> None:
    monkeypatch.setattr(search_documents, "FIRST_LOOK", 2)
    monkeypatch.setattr(search, "FIRST_ROWS", 2)
    monkeypatch.setattr(search_documents, "index_cost", lambda _told, _documents: price)
    for number in range(1, 21):
        record(bench, number, source_text="Sugar." if number % 5 else "Salt.")
    maintain(bench.engine)
    assert found(bench, "salt", limit=9) == [20, 15, 10, 5]
    assert found(bench, "sugar", limit=3) == [19, 18, 17]
    assert len(found(bench, "sugar", limit=99)) == 16


def test_a_run_that_has_just_begun_says_nothing_of_the_way_through_the_one_before(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_documents, "FIRST_LOOK", 2)
    monkeypatch.setattr(search_documents, "index_cost", lambda _told, documents: 100.0 * documents)
    record(bench, *range(1, 9))
    maintain(bench.engine)
    bench.values(f"UPDATE search_document SET number = {RUN - 1} WHERE number = 7 RETURNING 1")
    record(bench, 9)
    maintain(bench.engine)
    with statements(bench.engine, "tsquery[]") as asked:
        assert found(bench, "sentence") == [9, 8, 7, 6, 5, 4, 3, 2, 1]
    assert asked == []


@pytest.mark.usefixtures("by_index")
def test_a_part_of_many_words_still_decides_when_the_index_was_not_asked_for_it(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_documents, "MOST_WORDS", 1)
    write_documents(bench, "one salt", "bone sugar", "tone salt", "two salt")
    assert found(bench, "salt", "one") == [3, 1]


@pytest.mark.usefixtures("by_index")
def test_every_row_is_found_when_all_parts_have_too_many_words_for_the_index(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_documents, "MOST_WORDS", 1)
    write_documents(bench, "one", "bone", "two", "tone")
    assert found(bench, "one") == [4, 2, 1]


def test_a_row_is_found_once_when_its_document_is_written_while_it_is_searched(bench: Any) -> None:
    record(bench, 1, 2)
    with transaction(bench.engine) as connection:
        rows = search.matches(connection, ["sentence"], select(translation))
        first = next(rows)["job_id"]
        maintain(bench.engine)
        others = [row["job_id"] for row in rows]
    assert sorted(job.int for job in (first, *others)) == [1, 2]
