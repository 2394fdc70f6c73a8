"""Removes what is older than it may be: texts, by what is agreed with each client, and whole months of rows.

Texts go the way of every erasure (`erasure.py`), once an hour at most: workers forget what they remember each time.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from .audit import append_event
from .clients import retention_days
from .engine import transaction
from .erasure import LOCK_TIMEOUT, erase
from .erasure_request import tidy_up
from .erasure_scope import Scope
from .partitions import REST, Month, partitions_of
from .search_index import drop_documents, lock_documents
from .usage import NAME as USAGE
from .watermarks import set_watermark, watermark

ACTOR = "retention"
BATCH_ROWS = 10_000
# Rows that are not in the sums yet, or may still have events for Kafka, keep their month for the time being.
IS_OPEN = """
SELECT EXISTS (SELECT FROM {partition} WHERE recorded_at >= :summed_up)
OR EXISTS (SELECT FROM outbox WHERE job_id >= :low AND job_id < :high)
"""
DOCUMENTS = "SELECT job_id FROM search_document WHERE job_id >= :low AND job_id < :high LIMIT :most"
STRAYS = f"""
DELETE FROM {REST} WHERE ctid IN (
  SELECT ctid FROM {REST} WHERE job_id < :high AND recorded_at < :summed_up AND recorded_at < :before
  LIMIT {BATCH_ROWS}
) RETURNING job_id
"""  # noqa: S608 - our own words


@dataclass(frozen=True, slots=True)
class Retention:
    """`days` for texts of clients without an agreement of their own, `months` of rows beside the present; 0 = all."""

    days: int = 0
    months: int = 0


FOR_EVER = Retention()


def erase_old_texts(engine: Engine, retention: Retention, now: datetime | None = None) -> int:
    """Remove texts older than their client's retention; returns of how many rows. Raises `TransientError`."""
    hour = (now or datetime.now(UTC)).replace(minute=0, second=0, microsecond=0)
    with transaction(engine) as connection:
        days = retention_days(connection, retention.days)
    rows = sum(_erase_until(engine, client_id, hour - timedelta(days=kept)) for client_id, kept in days.items())
    if rows:
        tidy_up(engine)
        with transaction(engine) as connection:
            append_event(connection, ACTOR, "old_texts_erased", {"rows": rows})
    return rows


def _erase_until(engine: Engine, client_id: str, moment: datetime) -> int:
    """Whatever was recorded before the client's watermark is done with: it is not looked at again."""
    name = f"retention:{client_id}"
    with transaction(engine) as connection:
        since = watermark(connection, name)
    if moment <= since:
        return 0
    rows = sum(done.meant for done in erase(engine, Scope(client_id, since=since, before=moment)))
    with transaction(engine) as connection:
        set_watermark(connection, name, moment)
    return rows


def drop_old_months(engine: Engine, retention: Retention, now: datetime | None = None) -> tuple[str, ...]:
    """Drop the months before those that are kept, with rows and documents; returns the names of their partitions.

    A job of a dropped month that is published again is not known any more: it is translated again.
    Raises `TransientError` when others hold a partition for more than some seconds.
    """
    if not retention.months:
        return ()
    kept = Month.of(now or datetime.now(UTC))
    for _ in range(retention.months):
        kept = kept.before
    with transaction(engine) as connection:
        present = [Month.named(partition) for partition in partitions_of(connection, "translation")]
    dropped = tuple(month.partition for month in present if month and month < kept and _drop(engine, month))
    strays = _drop_strays(engine, kept)
    if dropped or strays:
        tidy_up(engine)
    return dropped


def _drop(engine: Engine, month: Month) -> bool:
    low, high = month.first_id, month.after.first_id
    while _drop_some_documents(engine, low, high):
        pass
    with transaction(engine) as connection:
        connection.exec_driver_sql(LOCK_TIMEOUT)
        open_question = text(IS_OPEN.format(partition=month.partition))
        bounds = {"summed_up": watermark(connection, USAGE), "low": low, "high": high}
        if connection.execute(open_question, bounds).scalar_one():
            return False
        rows = connection.execute(text(f"SELECT count(*) FROM {month.partition}")).scalar_one()  # noqa: S608
        connection.execute(text(f"DROP TABLE {month.partition}"))
        append_event(connection, ACTOR, "month_dropped", {"partition": month.partition, "rows": rows})
    return True


def _drop_some_documents(engine: Engine, low: UUID, high: UUID) -> bool:
    with transaction(engine) as connection:
        lock_documents(connection)
        bounds = {"low": low, "high": high, "most": BATCH_ROWS}
        jobs = list(connection.execute(text(DOCUMENTS), bounds).scalars())
        drop_documents(connection, jobs)
    return bool(jobs)


def _drop_strays(engine: Engine, kept: Month) -> int:
    """Rows that lie in no month of their own and are of one that is not kept; one just recorded waits for a day."""
    dropped = 0
    while True:
        with transaction(engine) as connection:
            jobs = _drop_some_strays(connection, kept)
        dropped += jobs
        if jobs < BATCH_ROWS:
            return dropped


def _drop_some_strays(connection: Connection, kept: Month) -> int:
    lock_documents(connection)
    bounds = {
        "high": kept.first_id,
        "summed_up": watermark(connection, USAGE),
        "before": datetime.now(UTC) - timedelta(days=1),
    }
    jobs = list(connection.execute(text(STRAYS), bounds).scalars())
    drop_documents(connection, jobs)
    if jobs:
        append_event(connection, ACTOR, "strays_dropped", {"rows": len(jobs)})
    return len(jobs)
