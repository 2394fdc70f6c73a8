"""What people did to the history, as a chain: each event holds the hash of the one before, and its own covers both.

Knows how events are added and checked; the database itself refuses to change or delete one (migration 0006). Whoever
can alter the database's own rules can still tamper, and `verify_chain` finds it - but for events cut off at the end,
which only shows against a head that was noted elsewhere.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, insert, select, text

from .tables import audit_event

# Any number that nobody else uses: the bytes of "audit".
CHAIN_LOCK = int.from_bytes(b"audit", "big")
# What comes before the first event.
NO_HASH = ""
# So many faults are named: after that it is plain that the chain is broken.
MOST_FAULTS = 20
FETCHED = 1_000


class AuditEvent(NamedTuple):
    """Who did what and when; `details` never holds a text of a client."""

    number: int
    at: datetime
    actor: str
    action: str
    details: Mapping[str, Any]
    previous_hash: str
    hash: str

    def expected_hash(self) -> str:
        """The SHA-256, in hexadecimal, that belongs to what the event holds."""
        held = [self.previous_hash, self.number, self.at.astimezone(UTC).isoformat(), self.actor, self.action]
        written = json.dumps([*held, self.details], ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(written.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class ChainReport:
    """What a look at the whole chain found; `head` is the last event as NUMBER:HASH, to be noted elsewhere."""

    events: int
    head: str
    faults: tuple[str, ...]


def append_event(connection: Connection, actor: str, action: str, details: Mapping[str, Any]) -> AuditEvent:
    """Add an event to the chain; do so last in a transaction, for others wait until it ends.

    `details` holds text, whole numbers, truth values, lists and mappings of these.
    """
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": CHAIN_LOCK})
    last = select(audit_event.c.number, audit_event.c.hash).order_by(audit_event.c.number.desc()).limit(1)
    number, previous_hash = connection.execute(last).one_or_none() or (0, NO_HASH)
    now: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    event = AuditEvent(number + 1, now, actor, action, details, previous_hash, "")
    event = event._replace(hash=event.expected_hash())
    connection.execute(insert(audit_event).values(event._asdict()))
    return event


def last_events(connection: Connection, limit: int) -> list[AuditEvent]:
    """The last events, oldest of them first."""
    latest = select(audit_event).order_by(audit_event.c.number.desc()).limit(limit)
    return [AuditEvent(*row) for row in connection.execute(latest)][::-1]


def verify_chain(connection: Connection, noted_head: str | None = None) -> ChainReport:
    """Check every event against its hash and the one before; `noted_head` is a head that an earlier look returned."""
    ordered = select(audit_event).order_by(audit_event.c.number)
    with connection.execute(ordered, execution_options={"yield_per": FETCHED}) as result:
        return _checked((AuditEvent(*row) for row in result), noted_head)


def _checked(events: Iterable[AuditEvent], noted_head: str | None) -> ChainReport:
    count, head, is_noted_there = 0, f"0:{NO_HASH}", noted_head is None
    faults: list[str] = []
    before: AuditEvent | None = None
    for event in events:
        faults += _faults(before, event)
        count, head, before = count + 1, f"{event.number}:{event.hash}", event
        is_noted_there = is_noted_there or head == noted_head
    if not is_noted_there:
        faults.append(f"the noted head {noted_head} is not in the chain: events were cut off or written anew")
    named = faults if len(faults) <= MOST_FAULTS else [*faults[:MOST_FAULTS], f"and {len(faults) - MOST_FAULTS} more"]
    return ChainReport(count, head, tuple(named))


def _faults(before: AuditEvent | None, event: AuditEvent) -> Iterator[str]:
    expected = before.number + 1 if before else 1
    if event.number != expected:
        missing = f"{expected}" if event.number == expected + 1 else f"{expected} to {event.number - 1}"
        yield f"missing before event {event.number}: {missing}"
    elif event.previous_hash != (before.hash if before else NO_HASH):
        yield f"event {event.number} does not follow event {event.number - 1}: one of them was written anew"
    if event.hash != event.expected_hash():
        yield f"event {event.number} was changed: its hash is not that of what it holds"
