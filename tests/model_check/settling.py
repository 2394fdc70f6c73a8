"""The settlement: gathered in one step, written in one transaction. Maps `worker/settler.py`, `storage/settlement.py`.

The transaction locks the leases before it reads anything, and job ids are unique in the database, so it is one step
here: whatever else writes for these partitions or jobs waits for it or comes before it.
"""

from collections.abc import Iterator
from itertools import combinations, product

from .protocol import Protocol
from .state import FENCED, NOTHING, Entry, Event, Held, Offsets, Shared, Worker


def gather(protocol: Protocol, worker: Worker) -> Iterator[Worker]:
    """Take outcomes that still count, and say how far that brings each partition: any outcomes, in any order.

    `Settler._settlement`, `Assignments.finish`: the tracker lets go of them now, before they are recorded.
    """
    choices = [[NOTHING] if held is None else _subsets(held.in_flight) for held in worker.held]
    for chosen in product(*choices):
        entries, parts = [], list(worker.held)
        for partition, (held, gathered) in enumerate(zip(worker.held, chosen, strict=True)):
            if held is not None and gathered:
                progress = protocol.watermark(held, gathered)
                entries.append(Entry(partition, held.epoch, held.epoch, gathered, progress))
                parts[partition] = held._replace(in_flight=held.in_flight - gathered)
        if entries:
            yield worker._replace(held=tuple(parts), settlement=tuple(entries))


def commit(protocol: Protocol, shared: Shared, worker: Worker) -> tuple[Shared, Worker]:
    """The transaction takes effect, and the worker learns of it: `_write_held`, then `Settler._settle`."""
    accepted = protocol.accepted(shared, worker.settlement)
    progressing = protocol.progressing(shared, worker.settlement)
    after = _settled(protocol, shared, worker, accepted)
    shared = _record(protocol, shared, worker.settlement, accepted)
    written = {*accepted, *progressing}
    if any(entry.polled_epoch < shared.topics[entry.partition].epoch for entry in written):
        shared = shared._replace(stale_write=True)
    return _advance(shared, progressing), after


def _record(protocol: Protocol, shared: Shared, named: tuple[Entry, ...], accepted: tuple[Entry, ...]) -> Shared:
    """History rows, and the events of those that are new."""
    recorded, rows = [], list(shared.rows)
    for entry in accepted:
        for offset in sorted(entry.offsets):
            job = protocol.job(entry.partition, offset)
            if protocol.is_new(shared._replace(rows=tuple(rows)), job, entry, offset):
                rows[job] = min(2, rows[job] + 1)
                recorded.append(job)
    inserted, events = list(shared.inserted), list(shared.events)
    for job in protocol.events(recorded, [protocol.job(e.partition, o) for e in named for o in e.offsets]):
        inserted[job] = min(2, inserted[job] + 1)
        if events[job] is Event.NONE:
            events[job] = Event.OWED
    return shared._replace(rows=tuple(rows), inserted=tuple(inserted), events=tuple(events))


def _advance(shared: Shared, progressing: tuple[Entry, ...]) -> Shared:
    topics = list(shared.topics)
    for entry in progressing:
        topic = topics[entry.partition]
        topics[entry.partition] = topic._replace(next_offset=max(topic.next_offset, entry.next_offset))
    return shared._replace(topics=tuple(topics))


def _settled(protocol: Protocol, shared: Shared, worker: Worker, accepted: tuple[Entry, ...]) -> Worker:
    """`Assignments.settled` for what was written, `Assignments.fence` for what another worker has taken over."""
    parts, fenced = list(worker.held), worker.fenced
    for entry in worker.settlement:
        held = parts[entry.partition]
        if held is None or held.epoch != entry.epoch:
            continue  # it left us meanwhile, or came back under a new epoch
        if entry not in accepted and not protocol.holds(shared, entry):
            # Nothing of it counts any more; the group may still think it ours, until we have left.
            parts[entry.partition], fenced = Held(held.member, FENCED, 0, NOTHING), True
    return Worker(tuple(parts), (), fenced)


def _subsets(offsets: Offsets) -> list[Offsets]:
    ordered = sorted(offsets)
    return [frozenset(chosen) for size in range(len(ordered) + 1) for chosen in combinations(ordered, size)]
