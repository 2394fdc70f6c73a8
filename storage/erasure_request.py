"""Carries out a request to erase: what was asked and what came of it are in the audit chain, without the text."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, text

from .audit import append_event
from .engine import transaction
from .erasure import Progress, erase
from .erasure_elsewhere import PLACES
from .erasure_scope import Scope
from .exports_made import exports_since
from .text_cipher import TextCipher
from .text_places import TEXT_PLACES
from .vocabulary import forget_unused_words

# The planner's statistics quote common values of a column: they are made anew of what is left.
ANALYZED = (*(place.table for place in (*TEXT_PLACES, *PLACES)), "search_document", "search_word")
# ANALYZE leaves what it knew of a table that is empty now. Servers before 18 have no way to say so.
FORGETTING_SERVER = 180_000
FORGET = """
SELECT count(pg_clear_attribute_stats(schemaname, tablename, attname, inherited)::text)
FROM pg_stats WHERE (quote_ident(schemaname) || '.' || quote_ident(tablename))::regclass
  IN (SELECT CAST(:table AS regclass) UNION SELECT relid FROM pg_partition_tree(CAST(:table AS regclass)))
"""


@dataclass(frozen=True, slots=True)
class Request:
    """Who wants what erased, and why."""

    scope: Scope
    actor: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Erased:
    """Rows whose texts were removed, by table; words that search forgot; exports that may hold the texts still."""

    rows: Counter[str]
    words: int
    exports: tuple[dict[str, Any], ...]


def carry_out(
    engine: Engine,
    request: Request,
    on_progress: Callable[[Progress], None],
    cipher: TextCipher | None = None,
) -> Erased:
    """Erase; `on_progress` hears of each batch. Raises `TransientError`: the same request goes on where it stopped.

    What is interrupted has an event "erasure_begun" without "texts_erased".
    """
    asked = _without_text(request)
    with transaction(engine) as connection:
        append_event(connection, request.actor, "erasure_begun", asked)
    rows: Counter[str] = Counter()
    earliest: datetime | None = None
    for done in erase(engine, request.scope, cipher):
        rows[done.table] += done.meant
        earliest = min(filter(None, (earliest, done.earliest)), default=None)
        on_progress(done)
    words = tidy_up(engine)
    with transaction(engine) as connection:
        exports = exports_since(connection, earliest) if earliest else []
        append_event(connection, request.actor, "texts_erased", {**asked, "rows": dict(rows)})
    return Erased(rows, words, tuple(exports))


def tidy_up(engine: Engine) -> int:
    """Remove what is left of erased texts in vocabulary and statistics; returns how many words search forgot."""
    words = forget_unused_words(engine)
    with transaction(engine) as connection:
        can_forget = int(connection.exec_driver_sql("SHOW server_version_num").scalar_one()) >= FORGETTING_SERVER
        for table in ANALYZED:
            if can_forget:
                connection.execute(text(FORGET), {"table": table})
            connection.execute(text(f"ANALYZE {table}"))
    return words


def _without_text(request: Request) -> dict[str, Any]:
    scope = request.scope
    asked = {
        "client": scope.client_id,
        "job": None if scope.job_id is None else str(scope.job_id),
        "containing": None if scope.containing is None else "a text that is not kept here",
        "reason": request.reason or None,
    }
    return {name: value for name, value in asked.items() if value is not None}
