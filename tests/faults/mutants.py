"""The delivery protocol, broken on purpose: each must be caught by a fault of the suite."""

from collections.abc import Callable, Iterable
from typing import Any

from dragoman.producer.publisher import DeliveryReport
from dragoman.storage import settlement
from dragoman.storage.records import OutboxEvent, Receipt, Settlement
from dragoman.worker import assignments, offsets, relay, settler
from dragoman.worker.outgoing import outgoing
from dragoman.worker.work import Outcome


def no_epoch_check() -> None:
    """Whoever writes is taken for the owner."""

    def everybody(connection: Any, wanted: Settlement) -> tuple[dict[tuple[str, int], int], None]:
        connection.exec_driver_sql(settlement.BEGIN)
        return {(entry.topic, entry.partition): entry.epoch for entry in wanted.progress}, None

    _replace(settlement, "_lock_leases", everybody)
    settlement.ADVANCE_LEASES = settlement.ADVANCE_LEASES.replace("AND lease.epoch = done.epoch", "")


def no_returning_gate() -> None:
    """Events of every row reach the outbox, of those too that were there before."""

    def all_events(written: Iterable[tuple[Any, tuple[OutboxEvent, ...]]], _: Any) -> list[OutboxEvent]:
        return [event for _, events in written for event in events]

    _replace(settlement, "_first_events", all_events)


def highest_offset() -> None:
    """The next offset follows the highest that is finished, not the contiguous ones."""

    class Highest(offsets.OffsetTracker):
        def __init__(self, next_offset: int) -> None:
            super().__init__(next_offset)
            self._highest = next_offset

        def finish(self, offset: int) -> None:
            super().finish(offset)
            self._highest = max(self._highest, offset + 1)

        @property
        def next_offset(self) -> int:
            return self._highest

    _replace(assignments, "OffsetTracker", Highest)


def unknown_commit_is_success() -> None:
    """A COMMIT without an answer counts as done."""
    plain = settlement.settle

    def optimistic(engine: Any, wanted: Settlement) -> Receipt:
        try:
            return plain(engine, wanted)
        except settlement.CommitUnknownError:
            return Receipt(frozenset(row.job_id for row in wanted.rows), frozenset(), frozenset())

    _replace(settler, "settle", optimistic)


def progress_first() -> None:
    """The offset moves in a transaction of its own, before the outcomes: as if Kafka's commit came first."""
    plain = settlement.settle

    def hasty(engine: Any, wanted: Settlement) -> Receipt:
        plain(engine, Settlement(wanted.group_id, (), (), wanted.progress))
        return plain(engine, wanted)

    _replace(settler, "settle", hasty)


def relay_without_acknowledgement() -> None:
    """The relay deletes what it has handed over, whether Kafka has it or not."""

    def hopeful(self: Any, events: Any, tally: Any) -> None:
        tally.expect(len(events))
        for event in events:
            self._publisher.publish(outgoing(event), lambda _: None)
            tally.listener(event.event_id)(DeliveryReport(None))

    _replace(relay.Relay, "_publish", hopeful)


def no_trace_answer_last() -> None:
    """The answer of a no-trace job is published behind its row, as the outbox's are, and lies nowhere meanwhile."""
    plain, answer = settler.Settler._settle, settler.Settler._answer_untraced

    def late(self: settler.Settler, outcomes: list[Outcome]) -> None:
        plain(self, outcomes)
        answer(self, outcomes)

    _replace(settler.Settler, "_settle", late)
    _replace(settler.Settler, "_answer_untraced", lambda *_: True)


def _replace(owner: object, name: str, value: object) -> None:
    setattr(owner, name, value)


MUTANTS: dict[str, Callable[[], None]] = {
    function.__name__: function
    for function in (
        no_epoch_check,
        no_returning_gate,
        highest_offset,
        unknown_commit_is_success,
        progress_first,
        relay_without_acknowledgement,
        no_trace_answer_last,
    )
}
