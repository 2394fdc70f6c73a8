"""Finds rows of the history by words. Knows the search documents, and the rows that have none yet; writes nothing.

A word is found wherever it stands in a text, inside longer words too. The vocabulary says which words it can be part
of, the documents which rows hold one of those, and the text itself decides: so what the index leaves open (a percent
sign, the order of the parts) costs time and never a wrong answer. Rows come latest first, run by run of documents.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping, Select, TextClause, text

from ..errors import DragomanError
from .bulk import array_literal
from .search_documents import documents_with
from .search_index import NAME
from .tables import translation
from .watermarks import watermark
from .words import normalised, words

# Rows fetched at once: of documents at first, and at most.
FIRST_ROWS, FETCHED = 50, 1_000


def matches(connection: Connection, asked: Sequence[str], filtered: Select[Any]) -> Iterator[RowMapping]:
    """Rows of `filtered` that hold every word, whatever its case, in the source or the target; latest first.

    Words are taken as they are: % and _ mean themselves. Encrypted texts are not searched. Raises `DragomanError` for a
    word no text can hold.
    """
    wanted = [_checked(word) for word in asked]
    filtered = filtered.where(translation.c.text_key.is_(None))
    until = watermark(connection, NAME)
    yield from _holding(wanted, _latest_first(connection, filtered.where(translation.c.recorded_at >= until)))
    earlier = filtered.where(translation.c.recorded_at < until)
    parts = sorted({part for word in wanted for part in words(word)})
    if not parts:  # the words say nothing that a document knows: every row may hold them
        yield from _holding(wanted, _latest_first(connection, earlier))
        return
    for documents in documents_with(connection, parts):
        yield from _of_documents(connection, documents, wanted, earlier)


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


def _of_documents(
    connection: Connection, documents: Iterator[UUID], wanted: Sequence[str], filtered: Select[Any]
) -> Iterator[RowMapping]:
    """The rows of documents that hold the words, in their order; looks up more of them as long as more are asked for.

    Most documents of frequent words are of texts that hold them otherwise, so the texts are looked at first, alone.
    """
    texts = filtered.with_only_columns(translation.c.job_id, translation.c.source_text, translation.c.target_text)
    size = FIRST_ROWS
    while order := {job_id: place for place, job_id in enumerate(islice(documents, size))}:
        looked_at = connection.execute(texts.where(_is_one_of(order))).mappings()
        holding = [row["job_id"] for row in _holding(wanted, looked_at)]
        if holding:
            rows = connection.execute(filtered.where(_is_one_of(holding))).mappings().all()
            yield from sorted(_holding(wanted, rows), key=lambda row: order[row["job_id"]])
        size = min(4 * size, FETCHED)


def _is_one_of(job_ids: Iterable[UUID]) -> TextClause:
    """One value, whatever their number: a thousand parameters take as long to write as the rows to read."""
    return text("translation.job_id = ANY(CAST(:job_ids AS uuid[]))").bindparams(job_ids=array_literal(job_ids, str))
