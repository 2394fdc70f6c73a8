"""What the history needs now and then: partitions, search documents, sums, retention. One process at a time."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, Engine, text

from .engine import transaction
from .partitions import make_partition, missing_months
from .retention import FOR_EVER, Retention, drop_old_months, erase_old_texts
from .search_index import index_documents
from .usage import sum_up
from .vocabulary import forget_unused_words
from .watermarks import Progress

# Any numbers that nobody else uses: the bytes of "upkeep" and "months".
ADVISORY_LOCK = int.from_bytes(b"upkeep", "big")
PARTITIONS_LOCK = int.from_bytes(b"months", "big")


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What was done; `is_busy` = another process is at it, so nothing was."""

    is_busy: bool = False
    partitions: tuple[str, ...] = ()
    documents: int = 0
    rows_summed_up: int = 0
    rows_erased: int = 0
    dropped: tuple[str, ...] = ()


def maintain(engine: Engine, retention: Retention = FOR_EVER) -> Upkeep:
    """Do all there is to do; each step is a transaction of its own, and may be repeated.

    Raises `TransientError` when the database is away or busy, `DragomanError` when it refuses for good.
    """
    keeper = engine.execution_options(isolation_level="AUTOCOMMIT")
    with keeper.connect() as holder:
        if not holder.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": ADVISORY_LOCK}).scalar_one():
            return Upkeep(is_busy=True)
        try:
            return _done(engine, retention)
        finally:
            holder.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": ADVISORY_LOCK})


def _done(engine: Engine, retention: Retention) -> Upkeep:
    forget_unused_words(engine)  # what an erasure that was cut off has left
    return Upkeep(
        partitions=make_partitions(engine),
        documents=_to_the_end(engine, index_documents),
        rows_summed_up=_to_the_end(engine, sum_up),
        rows_erased=erase_old_texts(engine, retention),
        dropped=drop_old_months(engine, retention),
    )


def make_partitions(engine: Engine) -> tuple[str, ...]:
    """Make the partitions that are missing; returns their names."""
    with transaction(engine) as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": PARTITIONS_LOCK})
        months = missing_months(connection, datetime.now(UTC))
        for month in months:
            make_partition(connection, month)
    return tuple(month.partition for month in months)


def _to_the_end(engine: Engine, step: Callable[[Connection], Progress]) -> int:
    """Take a step after the other, each in a transaction of its own; returns how many rows they dealt with."""
    rows = 0
    while True:
        with transaction(engine) as connection:
            done = step(connection)
        rows += done.rows
        if done.is_last:
            return rows
