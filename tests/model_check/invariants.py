"""What must hold in every state that can be reached, and what "everything is done" means."""

from collections.abc import Callable

from .state import Bounds, Event, Shared


def one_row_a_job(_: Bounds, shared: Shared) -> bool:
    """The history has at most one row of a job."""
    return max(shared.rows) <= 1


def one_event_a_row(_: Bounds, shared: Shared) -> bool:
    """Every row has put exactly one event into the outbox, and nothing else has."""
    return shared.inserted == shared.rows


def nothing_lost(bounds: Bounds, shared: Shared) -> bool:
    """Whatever lies before a lease's next_offset has its row, or expired and is in the quarantine."""
    return all(
        shared.rows[bounds.log[partition][offset]] or offset in topic.quarantined
        for partition, topic in enumerate(shared.topics)
        for offset in range(topic.next_offset)
    )


def nothing_from_the_past(_: Bounds, shared: Shared) -> bool:
    """Nothing was written that was read under an epoch older than the one at its commit."""
    return not shared.stale_write


def kafka_behind_the_database(_: Bounds, shared: Shared) -> bool:
    """Kafka was never told an offset ahead of next_offset, but for messages that have expired."""
    return not shared.kafka_ahead


def events_belong_to_rows(_: Bounds, shared: Shared) -> bool:
    """What is in the outbox or in Kafka belongs to a row."""
    return all(
        event in (Event.NONE, Event.GONE) or rows for event, rows in zip(shared.events, shared.rows, strict=True)
    )


def no_event_lost(_: Bounds, shared: Shared) -> bool:
    """An event leaves the outbox only when Kafka has it."""
    return Event.GONE not in shared.events


def one_id_an_event(_: Bounds, shared: Shared) -> bool:
    """However often an event is published, its id is the same."""
    return max(shared.event_ids) <= 1


Invariant = Callable[[Bounds, Shared], bool]
INVARIANTS: tuple[Invariant, ...] = (
    one_row_a_job,
    one_event_a_row,
    nothing_lost,
    nothing_from_the_past,
    kafka_behind_the_database,
    events_belong_to_rows,
    no_event_lost,
    one_id_an_event,
)
# The name of what the search says of a state from which nothing leads to the end.
EVERYTHING_GETS_DONE = "everything_gets_done"


def broken(bounds: Bounds, shared: Shared) -> list[str]:
    """The invariants that do not hold here, by name."""
    return [invariant.__name__ for invariant in INVARIANTS if not invariant(bounds, shared)]


def is_done(bounds: Bounds, shared: Shared) -> bool:
    """Every message is read, recorded and passed, every event is in Kafka and out of the outbox.

    A gap with nothing behind it yet is in the quarantine, and next_offset stands before it.
    """
    read = all(
        topic.quarantined.issuperset(range(topic.next_offset, len(bounds.log[partition])))
        for partition, topic in enumerate(shared.topics)
    )
    sent = all(event is Event.DONE or not rows for event, rows in zip(shared.events, shared.rows, strict=True))
    return read and sent and nothing_lost(bounds, shared)
