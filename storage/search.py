"""Finds rows of the history by words. Knows the search documents, and the rows that have none yet; writes nothing.

A word is found wherever it stands in a text, inside longer words too. The vocabulary says which words it can be part
of, the documents which rows hold one of those, and the text itself decides: so what the index leaves open (a percent
sign, the order of the parts) costs time and never a wrong answer. Rows come latest first, run by run of documents.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, text

from ..errors import DragomanError
from .partitions import partitions_of
from .search_index import NAME
from .tables import translation
from .watermarks import watermark
from .words import normalised, words

# A part of more words than this says too little to ask for them all.
MOST_WORDS = 500
# Documents of the first look into a run; each further look takes four times as many.
FIRST_LOOK = 200
# Rows fetched at once of those without a document.
FETCHED = 1_000
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
        for run in reversed(partitions_of(connection, "search_document")):
            yield from _holding(wanted, _of_run(connection, run, query, filtered))


def _checked(word: str) -> str:
    if "\0" in word or any("\ud800" <= character <= "\udfff" for character in word):
        raise DragomanError("a search word holds a NUL character or is not UTF-8: no stored text can hold it")
    return normalised(word)


def _holding(wanted: Sequence[str], rows: Iterator[RowMapping]) -> Iterator[RowMapping]:
    for row in rows:
        texts = [normalised(held) for held in (row["source_text"], row["target_text"]) if held]
        if all(any(word in held for held in texts) for word in wanted):
            yield row


def _latest_first(connection: Connection, rows: Select[Any]) -> Iterator[RowMapping]:
    ordered = rows.order_by(translation.c.recorded_at.desc(), translation.c.job_id.desc())
    with connection.execute(ordered, execution_options={"yield_per": FETCHED}) as result:
        yield from result.mappings()


def _of_run(connection: Connection, run: str, query: str, filtered: Select[Any]) -> Iterator[RowMapping]:
    """Rows of one run of documents; looks at more of them as long as more are asked for."""
    look, before = FIRST_LOOK, 1 << 62
    found = text(
        f"SELECT number, job_id FROM {run} WHERE document @@ CAST(:query AS tsquery) AND number < :before "  # noqa: S608
        "ORDER BY number DESC LIMIT :look"
    )
    while True:
        documents = connection.execute(found, {"query": query, "before": before, "look": look}).all()
        if documents:
            order = {job_id: place for place, (_, job_id) in enumerate(documents)}
            rows = connection.execute(filtered.where(translation.c.job_id.in_(order))).mappings().all()
            yield from sorted(rows, key=lambda row: order[row["job_id"]])
        if len(documents) < look:
            return
        before, look = documents[-1].number, 4 * look


def _query(connection: Connection, wanted: Sequence[str]) -> str | None:
    """The tsquery that every row with these words answers; "" = none can, None = every row may."""
    parts = sorted({part for word in wanted for part in words(word)}, key=len, reverse=True)
    clauses = []
    for part in parts:
        pattern = part.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        bounds = {"pattern": f"%{pattern}%", "most": MOST_WORDS + 1}
        found = connection.execute(text(VOCABULARY), bounds).scalars().all()
        if not found:
            return ""
        if len(found) <= MOST_WORDS:
            clauses.append(f"({' | '.join(found)})")
    return " & ".join(clauses) or None
