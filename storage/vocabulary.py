"""Forgets words that no search document has any more; `search_index.py` says which to check."""

from sqlalchemy import Connection, Engine, text

from .bulk import array_literal, quoted
from .engine import transaction
from .partitions import partitions_of
from .search_index import lock_documents, tidy_indexes

# Words of one transaction; documents cannot be written meanwhile.
CHECKED_WORDS = 1_000
# Most words in doubt are common ones: the latest documents have them, and no index is asked.
LATEST_DOCUMENTS = 5_000
CLEAR_COMMON = f"""
DELETE FROM unsure_word WHERE word IN (
  SELECT unnest(tsvector_to_array(document))
  FROM (SELECT document FROM search_document ORDER BY number DESC LIMIT {LATEST_DOCUMENTS}) AS latest
)
"""  # noqa: S608 - our own number
# The others are rare, and mostly in no document at all: reading documents to find that out would take for ever, which
# the planner does not know. A word is letters, digits and underscores: in quotation marks it means itself.
BY_INDEX = "SET LOCAL enable_seqscan = off"
UNUSED = f"""
SELECT word, NOT EXISTS (
  SELECT FROM search_document WHERE document @@ CAST(quote_literal(word) AS tsquery)
) AS is_unused
FROM (SELECT word FROM unsure_word ORDER BY word LIMIT {CHECKED_WORDS}) AS in_doubt
"""  # noqa: S608 - our own number
FORGET = "DELETE FROM search_word WHERE word = ANY(%s::text[])"
CHECKED = "DELETE FROM unsure_word WHERE word = ANY(%s::text[])"


def forget_unused_words(engine: Engine) -> int:
    """Check every word in doubt; returns how many were forgotten. May be stopped and called again."""
    with transaction(engine) as connection:
        if not connection.execute(text("SELECT EXISTS (SELECT FROM unsure_word)")).scalar_one():
            return 0
        lock_documents(connection)
        connection.execute(text(CLEAR_COMMON))
        tidy_indexes(connection, partitions_of(connection, "search_document"))
    forgotten = 0
    while True:
        with transaction(engine) as connection:
            checked, unused = _check(connection)
        forgotten += unused
        if checked < CHECKED_WORDS:
            return forgotten


def _check(connection: Connection) -> tuple[int, int]:
    lock_documents(connection)
    connection.exec_driver_sql(BY_INDEX)
    words = connection.execute(text(UNUSED)).all()
    unused = [row.word for row in words if row.is_unused]
    connection.exec_driver_sql(FORGET, (array_literal(unused, quoted),))
    connection.exec_driver_sql(CHECKED, (array_literal((row.word for row in words), quoted),))
    return len(words), len(unused)
