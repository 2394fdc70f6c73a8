"""Forgets words that no search document has any more; `search_index.py` says which to check."""

from sqlalchemy import Connection, Engine, text

from .bulk import array_literal, quoted
from .engine import transaction
from .search_index import lock_documents

# Words of one transaction; documents cannot be written meanwhile.
CHECKED_WORDS = 200
UNSURE = f"SELECT word FROM unsure_word ORDER BY word LIMIT {CHECKED_WORDS}"  # noqa: S608 - our own number
# A question for one word at a time: for a common one the planner then reads documents until it meets it, and for a rare
# one it asks the index.
IS_USED = "SELECT EXISTS (SELECT FROM search_document WHERE document @@ CAST(:word AS tsquery))"
FORGET = "DELETE FROM search_word WHERE word = ANY(%s::text[])"
CHECKED = "DELETE FROM unsure_word WHERE word = ANY(%s::text[])"


def forget_unused_words(engine: Engine) -> int:
    """Check every word in doubt; returns how many were forgotten. May be stopped and called again."""
    forgotten = 0
    while True:
        with transaction(engine) as connection:
            checked, unused = _check(connection)
        forgotten += unused
        if checked < CHECKED_WORDS:
            return forgotten


def _check(connection: Connection) -> tuple[int, int]:
    lock_documents(connection)
    words = list(connection.execute(text(UNSURE)).scalars())
    # A word is letters, digits and underscores: in quotation marks it means itself.
    unused = [word for word in words if not connection.execute(text(IS_USED), {"word": f"'{word}'"}).scalar_one()]
    connection.exec_driver_sql(FORGET, (array_literal(unused, quoted),))
    connection.exec_driver_sql(CHECKED, (array_literal(words, quoted),))
    return len(words), len(unused)
