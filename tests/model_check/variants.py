"""Protocols with one mistake each, and two that look like one and are none. The check must tell them apart."""

from collections.abc import Mapping

from . import invariants
from .invariants import EVERYTHING_GETS_DONE
from .protocol import Protocol
from .state import NOTHING, Entry, Event, Held, Offsets, Shared, Topic, Worker


class NoEpochCheck(Protocol):
    """Whoever has outcomes writes them."""

    def holds(self, shared: Shared, entry: Entry) -> bool:
        return True


class ProgressWithoutEpoch(Protocol):
    """Rows are checked, but next_offset is moved by anybody."""

    def progressing(self, shared: Shared, settlement: tuple[Entry, ...]) -> tuple[Entry, ...]:
        return settlement


class OneFenceForAll(Protocol):
    """One partition that was taken over throws away the work of all, and the worker goes on with the others."""

    def accepted(self, shared: Shared, settlement: tuple[Entry, ...]) -> tuple[Entry, ...]:
        return settlement if all(self.holds(shared, entry) for entry in settlement) else ()


class KafkaFirst(Protocol):
    """Kafka is told what is about to be recorded."""

    def told_kafka(self, worker: Worker) -> dict[int, int]:
        return {entry.partition: entry.next_offset for entry in worker.settlement}


class CommitWhenLost(Protocol):
    """`on_lost` tells Kafka what was polled."""

    def told_when_lost(self, held: Held) -> int:
        return held.position


class OffsetAsKey(Protocol):
    """Whoever reads a message for the first time writes a row, whatever job is in it."""

    def is_new(self, shared: Shared, job: int, entry: Entry, offset: int) -> bool:
        return offset >= shared.topics[entry.partition].next_offset


class NoConflictClause(Protocol):
    """A plain INSERT without a unique key: a repetition writes again."""

    def is_new(self, shared: Shared, job: int, entry: Entry, offset: int) -> bool:
        return True


class EventsOfAllRows(Protocol):
    """The outbox gets the events of every row of a settlement, new or not."""

    def events(self, recorded: list[int], named: list[int]) -> list[int]:
        return named


class HighestSeen(Protocol):
    """next_offset is the one after the highest finished message."""

    def watermark(self, held: Held, gathered: Offsets) -> int:
        return max(gathered) + 1


class UnsureIsSuccess(Protocol):
    """A COMMIT without an answer counts as done."""

    def when_unsure(self, worker: Worker) -> Worker:
        return worker._replace(settlement=())


class UnsureIsGivenUp(Protocol):
    """A COMMIT without an answer counts as failed: its outcomes are given back, and nobody makes them again."""

    def when_unsure(self, worker: Worker) -> Worker:
        held = list(worker.held)
        for entry in worker.settlement:
            part = held[entry.partition]
            if part is not None and part.epoch == entry.epoch:
                # Given back: in flight for the tracker, for ever. No offset is lower, so nothing is gathered past it.
                held[entry.partition] = part._replace(in_flight=NOTHING, position=self._end(entry.partition))
        return worker._replace(held=tuple(held), settlement=())

    def _end(self, partition: int) -> int:
        return len(self.bounds.log[partition])


class RecordsAfterForgetting(Protocol):
    """What was in flight when its partition went is recorded all the same, under whatever epoch there is."""

    def recorded_later(self, shared: Shared, partition: int, held: Held) -> tuple[Entry, ...]:
        if not held.in_flight:
            return ()
        epoch = shared.topics[partition].epoch
        return (Entry(partition, epoch, held.epoch, held.in_flight, held.position),)


class RelayDeletesFirst(Protocol):
    """The relay takes an event out of the outbox, commits, and publishes then."""

    def relay(self, event: Event, ids: int) -> list[tuple[str, Event, int]]:
        if event is Event.OWED:
            return [("takes out", Event.GONE, ids)]
        return [("publishes", Event.DONE, 1)] if event is Event.GONE else []


class NewIdEachTime(Protocol):
    """An event gets its id when it is published."""

    def relay(self, event: Event, ids: int) -> list[tuple[str, Event, int]]:
        if event is Event.PUBLISHED and ids == 1:
            return [("dies, and another one publishes again", event, 2)]
        return super().relay(event, ids)


class NeverPublishes(Protocol):
    """The relay is not there."""

    def relay(self, event: Event, ids: int) -> list[tuple[str, Event, int]]:
        return []


class ReadsFromTheBeginning(Protocol):
    """A new owner reads next_offset in a statement of its own, before it raises the epoch: at worst it is too low.

    Not a mistake: what was recorded meanwhile is translated again, finds its rows, and next_offset only grows.
    """

    def acquire(self, topic: Topic) -> tuple[Topic, int]:
        topic, _ = super().acquire(topic)
        return topic, topic.first_offset


class EventsOfNamedNewJobs(Protocol):
    """Events are chosen from all that were named, if their job is new: the same as those RETURNING named."""

    def events(self, recorded: list[int], named: list[int]) -> list[int]:
        return [job for job in dict.fromkeys(named) if job in recorded]


# Mistake -> what the search says of it.
BROKEN: Mapping[type[Protocol], str] = {
    NoEpochCheck: invariants.nothing_from_the_past.__name__,
    ProgressWithoutEpoch: invariants.nothing_lost.__name__,
    OneFenceForAll: invariants.nothing_lost.__name__,
    KafkaFirst: invariants.kafka_behind_the_database.__name__,
    CommitWhenLost: invariants.kafka_behind_the_database.__name__,
    OffsetAsKey: invariants.one_row_a_job.__name__,
    NoConflictClause: invariants.one_row_a_job.__name__,
    EventsOfAllRows: invariants.one_event_a_row.__name__,
    HighestSeen: invariants.nothing_lost.__name__,
    UnsureIsSuccess: invariants.nothing_lost.__name__,
    UnsureIsGivenUp: EVERYTHING_GETS_DONE,
    RecordsAfterForgetting: invariants.nothing_from_the_past.__name__,
    RelayDeletesFirst: invariants.no_event_lost.__name__,
    NewIdEachTime: invariants.one_id_an_event.__name__,
    NeverPublishes: EVERYTHING_GETS_DONE,
}
HARMLESS: tuple[type[Protocol], ...] = (ReadsFromTheBeginning, EventsOfNamedNewJobs)
