"""Finds the search documents that hold parts of words, latest first. Knows documents, vocabulary, index; no text.

The latest documents are read one by one, which also tells how frequent each part is. When the index would have
answered for the same price, it is asked for the others, and for all earlier ones: so finding costs at most about twice
as much as the better of the two ways, whichever that is.
"""

from collections.abc import Iterator, Sequence
from uuid import UUID

from sqlalchemy import Connection, text

from .bulk import array_literal, quoted
from .partitions import partitions_of
from .search_costs import Sample, Told, index_cost, is_worth_asking

# A part of more words than this says too little to ask the index for them all.
MOST_WORDS = 1_000
# Documents that are read one by one at first, each further time four times as many, and at most.
FIRST_LOOK, LAST_LOOK = 1_000, 64_000
# Rows fetched at once.
FETCHED = 1_000
# Bitmaps of a million documents stay exact. And the planner does not know that testing a document for hundreds of words
# takes longer than finding all that have one of them: without this it would do so where documents are few.
PLANNING = """
SET LOCAL work_mem = '64MB'; SET LOCAL jit = off; SET LOCAL enable_seqscan = off; SET LOCAL cpu_operator_cost = 0.1
"""
ENDS = "SELECT coalesce(min(number), 0), coalesce(max(number) + 1, 0) FROM {run}"
# A document as text is its words in quotation marks, so a part of a word is a part of it. OFFSET 0 keeps the planner
# from turning one query into another.
LATEST = """
SELECT count(*) AS documents, ARRAY[{counts}]::bigint[] AS holding,
  array_agg(job_id ORDER BY number DESC) FILTER (WHERE {all}) AS job_ids
FROM (SELECT number, job_id, document::text AS held FROM {run} WHERE number >= :low AND number < :before OFFSET 0)
"""
INDEXED = """
SELECT job_id FROM (
  SELECT number, job_id, document::text AS held FROM {run} WHERE {told} OFFSET 0
) WHERE number < :before AND {all} ORDER BY number DESC
"""
# The index walks through all its words at every document when it is asked for (one | another | ...), and for two arrays
# of words it would try every pair of them. An array is one short scan for each word. OR puts a bitmap together of both
# halves, so that the planner makes one for each part and ANDs these. An array from a sub-select is not looked into by
# the planner, which takes as long as finding.
HALF = "document @@ ANY(CAST((SELECT CAST(:{name} AS tsquery[])) AS tsquery[]))"
VOCABULARY = "SELECT word FROM search_word WHERE word LIKE :pattern LIMIT :most"


def documents_with(connection: Connection, parts: Sequence[str]) -> Iterator[Iterator[UUID]]:
    """The jobs of documents in which every part is part of a word, latest first, in portions.

    Where the index is asked, options of the planner are set for the rest of the transaction: cursors read under them.
    """
    found = _Documents(connection, parts)
    read, look = 0, FIRST_LOOK
    for run in reversed(partitions_of(connection, "search_document")):
        first, before = connection.execute(text(ENDS.format(run=run))).one()
        while before > first:
            told = found.told(before - first, affordable=read + look) if read else None
            if told is not None:
                if not all(one.words for one in told):
                    return
                yield found.indexed(run, before, told)
                break
            low = max(first, before - look)
            yield iter(found.latest(run, low, before))
            before, read, look = low, read + before - low, min(4 * look, LAST_LOOK)


class _Documents:
    """Ways to the documents that hold all parts, and what was learnt of these on the way."""

    def __init__(self, connection: Connection, parts: Sequence[str]) -> None:
        self._connection = connection
        self._parts = parts
        self._sample = Sample(len(parts))
        self._words: dict[str, Sequence[str] | None] = {}
        self._patterns = {f"part{place}": _pattern(part) for place, part in enumerate(parts)}
        self._all = " AND ".join(f"held LIKE :{name}" for name in self._patterns)
        self._counts = ", ".join(f"count(*) FILTER (WHERE held LIKE :{name})" for name in self._patterns)

    def latest(self, run: str, low: int, before: int) -> Sequence[UUID]:
        """Those of them with these numbers, read one by one."""
        statement = LATEST.format(run=run, all=self._all, counts=self._counts)
        bounds = {**self._patterns, "low": low, "before": before}
        read = self._connection.execute(text(statement), bounds).one()
        self._sample.add(read.documents, read.holding)
        return read.job_ids or ()

    def told(self, documents: int, affordable: float) -> Sequence[Told] | None:
        """What the index is to be asked for in a run of so many documents; None where it would cost more than that."""
        told: list[Told] = []
        for share, part in sorted(zip(self._sample.shares(), self._parts, strict=True)):
            if told and not is_worth_asking(told, Told((), share), documents):
                break
            words = self._words_with(part)
            if words is not None and (not told or is_worth_asking(told, Told(words, share), documents)):
                told.append(Told(words, share))
        return told if told and index_cost(told, documents) <= affordable else None

    def indexed(self, run: str, before: int, told: Sequence[Told]) -> Iterator[UUID]:
        """Those of them with lower numbers, as the index finds them."""
        self._connection.exec_driver_sql(PLANNING)
        halves = {f"half{place}": half for place, half in enumerate(_halves(told))}
        conditions = [HALF.format(name=name) for name in halves]
        pairs = " AND ".join(
            f"({one} OR {other})" for one, other in zip(conditions[::2], conditions[1::2], strict=True)
        )
        found = text(INDEXED.format(run=run, told=pairs, all=self._all))
        bounds = {**self._patterns, **halves, "before": before}
        with self._connection.execute(found, bounds, execution_options={"yield_per": FETCHED}) as rows:
            yield from rows.scalars()

    def _words_with(self, part: str) -> Sequence[str] | None:
        """The words that a part is part of; None = too many of them."""
        if part not in self._words:
            bounds = {"pattern": _pattern(part), "most": MOST_WORDS + 1}
            words = self._connection.execute(text(VOCABULARY), bounds).scalars().all()
            self._words[part] = words if len(words) <= MOST_WORDS else None
        return self._words[part]


def _halves(told: Sequence[Told]) -> Iterator[str]:
    """Arrays of queries for a word each, two for each part."""
    for one in told:
        yield array_literal((f"'{word}'" for word in one.words[::2]), quoted)
        yield array_literal((f"'{word}'" for word in one.words[1::2]), quoted)


def _pattern(part: str) -> str:
    return "%" + part.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
