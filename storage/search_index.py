"""Writes the search documents of recorded rows, some seconds after them: recording itself stays fast.

Knows words and tables. Only one process at a time may call it (`maintenance.py` sees to that).
"""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, text

from .bulk import array_literal, quoted
from .partitions import partitions_of
from .watermarks import Progress, next_stride, set_watermark
from .words import words

NAME = "search"
# Documents of one partition: a search goes through them from the latest partition on.
RUN = 1_000_000
# Rows of one transaction.
STRIDE = 10_000
ROWS = """
SELECT CAST(job_id AS text) AS job_id, source_text, target_text FROM translation
WHERE recorded_at >= :since AND recorded_at < :until AND text_key IS NULL ORDER BY recorded_at, translation.job_id
"""
INSERT_DOCUMENTS = """
INSERT INTO search_document (number, job_id, document)
SELECT * FROM unnest(%s::bigint[], %s::uuid[], %s::tsvector[])
"""
# The words of what goes may be in no other document: `vocabulary.py` finds out.
DELETE_DOCUMENTS = """
WITH gone AS (DELETE FROM search_document WHERE job_id = ANY(%s::uuid[]) RETURNING document)
INSERT INTO unsure_word SELECT DISTINCT unnest(tsvector_to_array(document)) FROM gone ORDER BY 1 ON CONFLICT DO NOTHING
"""
# Any number that nobody else uses: the bytes of "document".
DOCUMENTS_LOCK = int.from_bytes(b"document", "big")
# Most are known: to look first is cheaper than to try.
INSERT_WORDS = """
INSERT INTO search_word (word) SELECT word FROM unnest(%s::text[]) AS found (word)
WHERE NOT EXISTS (SELECT FROM search_word AS known WHERE known.word = found.word) ON CONFLICT DO NOTHING
"""
# What is inserted into an index of words waits in a list that every look-up reads from end to end, until VACUUM; and a
# search looks up hundreds of words.
TIDY_INDEXES = """
SELECT gin_clean_pending_list(indexrelid) FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
JOIN pg_am ON pg_am.oid = relam WHERE indrelid = ANY(CAST(:tables AS regclass[])) AND amname = 'gin'
"""

GRANTS = """
SELECT format('GRANT SELECT ON %I TO %I', CAST(:table AS text), pg_get_userbyid(grantee))
FROM pg_class, aclexplode(relacl)
WHERE pg_class.oid = CAST('search_document' AS regclass) AND privilege_type = 'SELECT' AND grantee NOT IN (0, relowner)
"""


def partition_of(number: int) -> str:
    """The table of a document's number."""
    return f"search_document_{number // RUN:06}"


def lock_documents(connection: Connection) -> None:
    """Let nobody else write or remove documents until the transaction ends.

    Without it the words of a row that is just erased could be written after its documents were removed.
    """
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": DOCUMENTS_LOCK})


def drop_documents(connection: Connection, job_ids: Iterable[UUID]) -> None:
    """Remove the documents of jobs; call it under `lock_documents`."""
    connection.exec_driver_sql(DELETE_DOCUMENTS, (array_literal(job_ids, str),))


def tidy_indexes(connection: Connection, tables: Sequence[str]) -> None:
    """Let look-ups in these partitions be short ones."""
    connection.execute(text(TIDY_INDEXES), {"tables": array_literal(tables, quoted)})


def index_documents(connection: Connection) -> Progress:
    """Write the documents of the next rows."""
    lock_documents(connection)
    stride = next_stride(connection, NAME, STRIDE)
    rows = connection.execute(text(ROWS), {"since": stride.since, "until": stride.until}).all()
    if rows:
        _write(connection, rows)
    set_watermark(connection, NAME, stride.until)
    return Progress(len(rows), stride.is_last)


def _write(connection: Connection, rows: Sequence[Row[Any]]) -> None:
    known: set[str] = set()
    # As text at once: ten thousand sets would keep the garbage collector busy for longer than it takes to fill them.
    documents = [_document(known, row) for row in rows]
    first: int = connection.execute(text("SELECT coalesce(max(number), -1) + 1 FROM search_document")).scalar_one()
    numbers = range(first, first + len(rows))
    runs = range(first // RUN, numbers[-1] // RUN + 1)
    present = partitions_of(connection, "search_document")
    for run in runs:
        if partition_of(run * RUN) not in present:
            _make_run(connection, run)
    # In one order, so that two transactions with the same words cannot deadlock.
    connection.exec_driver_sql(INSERT_WORDS, (array_literal(sorted(known), quoted),))
    columns = (
        array_literal(numbers, str),
        array_literal((row.job_id for row in rows), str),
        array_literal(documents, quoted),
    )
    connection.exec_driver_sql(INSERT_DOCUMENTS, columns)
    tidy_indexes(connection, [partition_of(run * RUN) for run in runs])


def _make_run(connection: Connection, run: int) -> None:
    table = partition_of(run * RUN)
    bounds = f"FROM ({run * RUN}) TO ({(run + 1) * RUN})"
    connection.execute(text(f"CREATE TABLE {table} PARTITION OF search_document FOR VALUES {bounds}"))
    # A search reads each partition by its own name, and PostgreSQL hands no right on from the table to them.
    for grant in connection.execute(text(GRANTS), {"table": table}).scalars().all():
        connection.exec_driver_sql(grant)


def _document(known: set[str], row: Row[Any]) -> str:
    """The words of a row as a tsvector is written; they are `known` then."""
    found = words(f"{row.source_text or ''} {row.target_text or ''}")
    known |= found
    return " ".join(found)
