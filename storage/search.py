"""Finds rows of the history by words. Knows the search documents, and the rows that have none yet; writes nothing.

A word is found wherever it stands in a text, inside longer words too. The vocabulary says which words it can be part
of, the documents which rows hold one of those, and the text itself decides: so what the index leaves open (a percent
sign, the order of the parts) costs time and never a wrong answer. Rows come latest first, run by run of documents.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, RowMapping, Select, TextClause, text

from ..errors import DragomanError
from .bulk import array_literal
from .partitions import partitions_of
from .search_index import NAME
from .tables import translation
from .watermarks import watermark
from .words import normalised, words

# A part of more words than this says too little to ask for them all.
MOST_WORDS = 500
# A part of more words than this is not asked for where another one is.
MANY_WORDS = 300
# Documents that are read one by one at first, each further time four times as many, and at most.
FIRST_LOOK, LAST_LOOK = 1_000, 64_000
# When fewer than this share of them answer, the index finds the others faster.
RARE = 0.001
# Rows fetched at once: of documents at first, and at most.
FIRST_ROWS, FETCHED = 50, 1_000
# OFFSET 0 keeps the planner from turning one into the other.
LATEST = """
SELECT number, job_id FROM (
  SELECT number, job_id, document FROM {run} WHERE number >= :low AND number < :before OFFSET 0
) AS latest WHERE document @@ CAST(:query AS tsquery) ORDER BY number DESC
"""
INDEXED = """
SELECT number, job_id FROM (
  SELECT number, job_id FROM {run} WHERE document @@ CAST(:query AS tsquery) OFFSET 0
) AS found WHERE number < :before ORDER BY number DESC
"""
VOCABULARY = "SELECT word FROM search_word WHERE word LIKE :pattern LIMIT :most"


def matches(connection: Connection, asked: Sequence[str], filtered: Select[Any]) -> Iterator[RowMapping]:
    """Rows of `filtered` that hold every word, whatever its case, in the source or the target; latest first.

    Words are taken as they are: % and _ mean themselves. Encrypted texts are not searched. Raises `DragomanError` for a
    word no text can hold.
    """
    wanted = [_checked(word) for word in asked]
    filtered = filtered.where(translation.c.text_key.is_(None))
    until = watermark(connection, NAME)
    yield from _holding(wanted, _latest_first(connection, filtered.where(translation.c.recorded_at >= until)))
    query = _query(connection, wanted)
    if query is None:  # the words say nothing that an index knows: every row with a document may hold them
        yield from _holding(wanted, _latest_first(connection, filtered.where(translation.c.recorded_at < until)))
    elif query:
        yield from _of_runs(connection, query, wanted, filtered)


def _checked(word: str) -> str:
    if "\0" in word or any("\ud800" <= character <= "\udfff" for character in word):
        raise DragomanError("a search word holds a NUL character or is not UTF-8: no stored text can hold it")
    return normalised(word)


def _holding(wanted: Sequence[str], rows: Iterable[RowMapping]) -> Iterator[RowMapping]:
    for row in rows:
        texts = [normalised(held) for held in (row["source_text"], row["target_text"]) if held]
        if all(any(word in held for held in texts) for word in wanted):
            yield row


def _latest_first(connection: Connection, rows: Select[Any]) -> Iterator[RowMapping]:
    ordered = rows.order_by(translation.c.recorded_at.desc(), translation.c.job_id.desc())
    with connection.execute(ordered, execution_options={"yield_per": FETCHED}) as result:
        yield from result.mappings()


def _of_runs(connection: Connection, query: str, wanted: Sequence[str], filtered: Select[Any]) -> Iterator[RowMapping]:
    """The rows of documents that answer the query, if they hold the words; latest first.

    How often words occur together is not known to PostgreSQL, and whoever relies on its guess waits for seconds. So the
    latest documents are read one by one: where enough of them answer, the next ones are too, and else the index tells.
    """
    is_rare = False
    for run in reversed(partitions_of(connection, "search_document")):
        ends = text(f"SELECT coalesce(min(number), 0), coalesce(max(number) + 1, 0) FROM {run}")  # noqa: S608
        first, before = connection.execute(ends).one()
        look = FIRST_LOOK
        while before > first and not is_rare:
            low = max(first, before - look)
            bounds = {"query": query, "low": low, "before": before}
            documents = connection.execute(text(LATEST.format(run=run)), bounds).all()
            yield from _of_documents(connection, iter(documents), wanted, filtered)
            is_rare = len(documents) < RARE * (before - low)
            before, look = low, min(4 * look, LAST_LOOK)
        if before > first:
            found, bounds = text(INDEXED.format(run=run)), {"query": query, "before": before}
            with connection.execute(found, bounds, execution_options={"yield_per": FETCHED}) as answering:
                yield from _of_documents(connection, iter(answering), wanted, filtered)


def _of_documents(
    connection: Connection, documents: Iterator[Row[Any]], wanted: Sequence[str], filtered: Select[Any]
) -> Iterator[RowMapping]:
    """The rows of documents that hold the words, in their order; looks up more of them as long as more are asked for.

    Most documents of frequent words are of texts that hold them otherwise, so the texts are looked at first, alone.
    """
    texts = filtered.with_only_columns(translation.c.job_id, translation.c.source_text, translation.c.target_text)
    size = FIRST_ROWS
    while order := {document.job_id: place for place, document in enumerate(islice(documents, size))}:
        looked_at = connection.execute(texts.where(_is_one_of(order))).mappings()
        holding = [row["job_id"] for row in _holding(wanted, looked_at)]
        if holding:
            rows = connection.execute(filtered.where(_is_one_of(holding))).mappings().all()
            yield from sorted(_holding(wanted, rows), key=lambda row: order[row["job_id"]])
        size = min(4 * size, FETCHED)


def _is_one_of(job_ids: Iterable[UUID]) -> TextClause:
    """One value, whatever their number: a thousand parameters take as long to write as the rows to read."""
    return text("translation.job_id = ANY(CAST(:job_ids AS uuid[]))").bindparams(job_ids=array_literal(job_ids, str))


def _query(connection: Connection, wanted: Sequence[str]) -> str | None:
    """The tsquery that every row with these words answers; "" = none can, None = every row may."""
    parts = sorted({part for word in wanted for part in words(word)}, key=len, reverse=True)
    clauses: list[Sequence[str]] = []
    for part in parts:
        pattern = part.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        bounds = {"pattern": f"%{pattern}%", "most": MOST_WORDS + 1}
        found = connection.execute(text(VOCABULARY), bounds).scalars().all()
        if not found:
            return ""
        if len(found) <= MOST_WORDS:
            clauses.append(found)
    clauses.sort(key=len)
    # The text decides in the end: what costs the index more than it tells is left out where another part tells enough.
    told = [found for place, found in enumerate(clauses) if place == 0 or len(found) <= MANY_WORDS]
    return " & ".join(f"({' | '.join(found)})" for found in told) or None
