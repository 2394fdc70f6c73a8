"""The commit transaction: history, outbox and progress together, or nothing. Knows no Kafka client, no model.

Rows count only under the current epoch of their partition, the first row of a job wins for ever, and only the
winner's events reach the outbox. So a settlement can be repeated whenever its outcome is unknown.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from ..errors import DragomanError, TransientError
from ..failpoints import reached
from .bulk import BulkInsert, Command, array_literal, quoted, run_together, uuid_text
from .copy_in import BinaryCopy, KeyTakenError
from .engine import own_transaction
from .errors import address, classify, sqlstate
from .quarantine import record_quarantine
from .records import (
    BatchRow,
    HistoryRow,
    OutboxEvent,
    Partition,
    PartitionProgress,
    Receipt,
    Settlement,
)
from .tables import batch, outbox, translation

__all__ = [
    "BatchRow",
    "CommitUnknownError",
    "HistoryRow",
    "OutboxEvent",
    "PartitionProgress",
    "Receipt",
    "Settlement",
    "settle",
]

# From so many events on, COPY saves more than its two round trips cost.
COPIED_EVENTS = 100
# A frozen owner of a lease must not hold it for ever, and a busy database must not hold us. It travels with the first
# statement, and what nobody waits for travels together: a transaction takes three round trips, five with many events.
BEGIN = (
    "BEGIN; SET LOCAL lock_timeout = '2s'; SET LOCAL statement_timeout = '10s'; "
    "SET LOCAL idle_in_transaction_session_timeout = '5s'"
)
# Locks are taken in the order of the sort, so that two settlements cannot deadlock.
LOCK_LEASES = """
SELECT topic, partition, epoch, updated_at, now() FROM ingest_lease
WHERE group_id = %s AND (topic, partition) IN (SELECT * FROM unnest(%s::text[], %s::integer[]))
ORDER BY topic, partition FOR UPDATE
"""
# Every lease of ours is written, also where the offset stays: by its time the next settlement knows of this one.
ADVANCE_LEASES = """
UPDATE ingest_lease AS lease SET next_offset = greatest(lease.next_offset, done.next_offset), updated_at = now(),
  stalled_acquisitions = CASE WHEN lease.next_offset >= done.next_offset THEN lease.stalled_acquisitions ELSE 0 END
FROM unnest(%s::text[], %s::integer[], %s::bigint[], %s::bigint[])
  AS done (topic, partition, epoch, next_offset)
WHERE lease.group_id = %s AND lease.topic = done.topic AND lease.partition = done.partition
AND lease.epoch = done.epoch
"""
# Whoever was tried more than once may have been a suspect; it has its last word now.
FORGET_ATTEMPTS = "DELETE FROM attempt WHERE job_id = ANY(%s::uuid[])"
COMMIT = Command("COMMIT", ())
# The server ends a connection with one of these at any time, also between a COMMIT and its answer.
ENDED_BY_THE_SERVER = "57P"

_insert_rows = BulkInsert(translation, HistoryRow._fields, key="job_id")
_copy_events = BinaryCopy(outbox, OutboxEvent._fields)
_insert_events = BulkInsert(outbox, OutboxEvent._fields, key="event_id")
_insert_batches = BulkInsert(batch, BatchRow._fields, key="id")


class CommitUnknownError(TransientError):
    """The connection was lost during COMMIT: repeat the same settlement, it takes effect once either way."""


def settle(engine: Engine, settlement: Settlement) -> Receipt:
    """Write a settlement in one transaction; blocks for at most about 12 seconds a statement.

    Raises `CommitUnknownError` or another `TransientError` (repeat the same settlement), or `DragomanError`
    when PostgreSQL refuses a row for good; then nothing of the settlement is written.
    """
    try:
        return _settle(engine, settlement, may_copy=True)
    except KeyTakenError:
        # The row of an event that still waits was taken away, and its job was published again.
        return _settle(engine, settlement, may_copy=False)


def _settle(engine: Engine, settlement: Settlement, *, may_copy: bool) -> Receipt:
    reached("before-begin")
    with own_transaction(engine) as connection:
        receipt = _write(connection, settlement, may_copy=may_copy)
    reached("after-commit")
    return receipt


def _write(connection: Connection, settlement: Settlement, *, may_copy: bool) -> Receipt:
    try:
        return _write_held(connection, settlement, may_copy=may_copy)
    except ValueError as error:  # psycopg2's word for both; UnicodeEncodeError is one
        raise DragomanError(
            "a row holds text that PostgreSQL cannot store (a NUL character or half of a surrogate pair): "
            "reject such a job when it is admitted"
        ) from error


def _write_held(connection: Connection, settlement: Settlement, *, may_copy: bool) -> Receipt:
    epochs, recorded_at = _lock_leases(connection, settlement)
    held = [entry for entry in settlement.progress if epochs.get((entry.topic, entry.partition)) == entry.epoch]
    written = [
        (row, events)
        for row, events in zip(settlement.rows, settlement.events, strict=True)
        if epochs.get(row.partition) == row.lease_epoch
    ]
    # In one order everywhere: two settlers with the same jobs, or with jobs of the same batches, then wait for each
    # other instead of deadlocking.
    written.sort(key=lambda entry: entry[0].job_id.int)
    rows = [row for row, _ in written]
    recorded = _insert_rows(connection, rows)
    reached("after-insert")
    # Where every row is new, which is nearly always, none of them is looked up.
    all_new = len(recorded) == len(rows)
    used = {row.batch_id for row in rows if all_new or row.job_id in recorded}
    batches = sorted((entry for entry in settlement.batches if entry.id in used), key=lambda entry: entry.id.int)
    events = [event for _, both in written for event in both] if all_new else _first_events(written, recorded)
    copied = may_copy and len(events) >= COPIED_EVENTS
    if copied:
        _copy_events(connection, events)
    _quarantine(connection, settlement, held)
    reached("before-commit")
    _commit_with(
        connection,
        (
            *_insert_batches.command(batches),
            *([] if copied else _insert_events.command(events)),
            *_forgotten_attempts(rows),
            *_advanced_leases(settlement.group_id, held),
        ),
    )
    duplicates = frozenset[UUID]() if all_new else _duplicates(rows, recorded)
    return Receipt(recorded, duplicates, _fenced(settlement, held), tuple(events), recorded_at)


def _lock_leases(connection: Connection, settlement: Settlement) -> tuple[dict[Partition, int], datetime | None]:
    """Epochs of the leases that may be written, and the time of this transaction."""
    topics = array_literal((entry.topic for entry in settlement.progress), quoted)
    partitions = array_literal((entry.partition for entry in settlement.progress), str)
    leases = connection.exec_driver_sql(f"{BEGIN}; {LOCK_LEASES}", (settlement.group_id, topics, partitions)).all()
    recorded = {(entry.topic, entry.partition): entry.recorded_at for entry in settlement.progress}
    # A lease that was last written before we last wrote it is one of a restored database: rows of ours may be gone, and
    # to move the offset on would skip their jobs for ever. Whoever takes the lease anew reads them again. The offset
    # does not tell: what finishes behind a job that is still running does not move it.
    epochs = {
        (topic, partition): epoch
        for topic, partition, epoch, updated_at, _ in leases
        if (known := recorded[topic, partition]) is None or updated_at >= known
    }
    return epochs, leases[0][-1] if leases else None


def _first_events(
    written: Iterable[tuple[HistoryRow, tuple[OutboxEvent, ...]]], recorded: frozenset[UUID]
) -> list[OutboxEvent]:
    """Events of the rows that are new; where a job was published twice, of the row that was inserted: the first."""
    first: dict[UUID, tuple[OutboxEvent, ...]] = {}
    for row, events in written:
        if row.job_id in recorded:
            first.setdefault(row.job_id, events)
    return [event for events in first.values() for event in events]


def _forgotten_attempts(rows: Sequence[HistoryRow]) -> list[Command]:
    tried = [row.job_id for row in rows if row.attempt > 1]
    return [Command(FORGET_ATTEMPTS, (array_literal(tried, uuid_text),))] if tried else []


def _advanced_leases(group_id: str, held: Sequence[PartitionProgress]) -> list[Command]:
    if not held:
        return []
    arrays = (
        array_literal((entry.topic for entry in held), quoted),
        array_literal((entry.partition for entry in held), str),
        array_literal((entry.epoch for entry in held), str),
        array_literal((entry.next_offset for entry in held), str),
    )
    return [Command(ADVANCE_LEASES, (*arrays, group_id))]


def _quarantine(connection: Connection, settlement: Settlement, held: Sequence[PartitionProgress]) -> None:
    ours = {(entry.topic, entry.partition) for entry in held}
    for skipped in settlement.quarantined:
        if (skipped.topic, skipped.partition) in ours:
            record_quarantine(connection, skipped)


def _duplicates(rows: Sequence[HistoryRow], recorded: frozenset[UUID]) -> frozenset[UUID]:
    counts = Counter(row.job_id for row in rows)
    return frozenset(job_id for job_id, count in counts.items() if count > 1 or job_id not in recorded)


def _fenced(settlement: Settlement, held: Sequence[PartitionProgress]) -> frozenset[Partition]:
    return frozenset((entry.topic, entry.partition) for entry in settlement.progress if entry not in held)


def _commit_with(connection: Connection, commands: Iterable[Command]) -> None:
    """The last commands and the COMMIT in one message."""
    try:
        run_together(connection, (*commands, COMMIT))
    except DBAPIError as error:
        if classify(error) == "permanent" or _is_rolled_back(error):
            raise
        raise CommitUnknownError(
            f"the connection to the database at {address(connection.engine.url)} was lost during COMMIT: "
            "the same settlement is repeated"
        ) from error


def _is_rolled_back(error: DBAPIError) -> bool:
    """Whether the server said so itself."""
    state = sqlstate(error)
    return state is not None and not state.startswith(ENDED_BY_THE_SERVER) and not error.connection_invalidated
