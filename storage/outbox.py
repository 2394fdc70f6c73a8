"""Messages that are owed to Kafka. Knows no Kafka client: the relay claims, publishes, deletes, then commits.

Relays share the table through SKIP LOCKED. One that dies between publishing and commit leaves the events to
the next, so a message can reach Kafka twice, with the same event id.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, func, select

from .bulk import affected, array_literal, counted, uuid_text
from .records import OutboxEvent
from .tables import outbox
from .text_cipher import TextCipher, required

# Found first and once, then deleted by its place. A join of the two would be planned by how many events there were when
# the table was last vacuumed, next to none: PostgreSQL then looks for all of them again for every event that waits.
TAKE_EVENTS = counted(
    "DELETE FROM outbox WHERE ctid = ANY(ARRAY("
    "SELECT ctid FROM outbox WHERE event_id = ANY(%s::uuid[]) FOR UPDATE SKIP LOCKED)) RETURNING event_id AS id"
)


def take_events(connection: Connection, events: Sequence[OutboxEvent]) -> list[OutboxEvent]:
    """Delete those of these events that are there and that no other relay holds; return them. Waits for nobody.

    They are published before the transaction commits; if it does not, they are in the outbox again.
    """
    ids = [event.event_id for event in events]
    taken = affected(connection, TAKE_EVENTS, (array_literal(ids, uuid_text),), ids)
    return [event for event in events if event.event_id in taken]


def claim_events(
    connection: Connection, limit: int, older_than_seconds: float = 0.0, cipher: TextCipher | None = None
) -> list[OutboxEvent]:
    """Lock and return the oldest events that no other relay holds, at most `limit`; waits for nobody.

    Raises `DragomanError` for an encrypted one when the cipher is not the right one.
    """
    oldest = select(outbox).order_by(outbox.c.id).limit(limit).with_for_update(skip_locked=True)
    if older_than_seconds > 0:
        age = func.make_interval(0, 0, 0, 0, 0, 0, older_than_seconds)
        oldest = oldest.where(outbox.c.created_at < func.clock_timestamp() - age)
    return [opened_event(row, cipher) for row in connection.execute(oldest)]


def opened_event(row: Row[Any], cipher: TextCipher | None) -> OutboxEvent:
    """The event of a row, as Kafka gets it; raises `DragomanError` where the cipher has not its key."""
    event = OutboxEvent(row.event_id, row.job_id, row.topic, row.key, _pairs(row.headers), row.payload, row.text_key)
    return event if event.text_key is None else required(cipher, event.text_key).open_event(event)


def delete_events(connection: Connection, event_ids: Iterable[UUID]) -> None:
    """Remove events that Kafka has acknowledged."""
    connection.exec_driver_sql(
        "DELETE FROM outbox WHERE event_id = ANY(%s::uuid[])", (array_literal(event_ids, uuid_text),)
    )


@dataclass(frozen=True, slots=True)
class OutboxState:
    """How many events wait, claimed ones too, and the age of the oldest by the server's clock."""

    events: int
    oldest_seconds: float


def outbox_state(connection: Connection) -> OutboxState:
    """Look at the whole outbox."""
    age = func.extract("epoch", func.clock_timestamp() - func.min(outbox.c.created_at))
    count, oldest = connection.execute(select(func.count(), age)).one()
    return OutboxState(count, max(0.0, float(oldest or 0)))


def _pairs(headers: list[list[str]]) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in headers)
