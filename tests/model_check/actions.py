"""Everything that can happen next, as functions of the shared state and of one worker.

An action concerns the shared state and at most one worker; so the successors of a pair can be computed once, and the
search combines them. Every action says which code it stands for: change both together.

Two kinds: `PROGRESS` happens by itself if one waits; `DISTURBANCE` is a fault or a rebalance, and each run has a
limited number of them. A frozen worker is one that takes no step for a while; nothing here forces anybody to move.
"""

from collections.abc import Iterator
from typing import NamedTuple, TypeVar

from .protocol import Protocol
from .settling import commit, gather
from .state import FENCED, NOTHING, UNLEASED, Held, Shared, Topic, Worker, first_worker

Value = TypeVar("Value")


class Step(NamedTuple):
    """One action and what it leads to."""

    label: str
    is_progress: bool
    shared: Shared
    worker: Worker


class WorldStep(NamedTuple):
    """One action of nobody in particular."""

    label: str
    is_progress: bool
    shared: Shared


def steps(protocol: Protocol, shared: Shared, worker: Worker) -> Iterator[Step]:
    """All that this worker can do, or suffer, now."""
    for partition in protocol.bounds.partitions:
        held = worker.held[partition]
        if held is None:
            yield from _give(shared, worker, partition)
            continue
        yield from _acquire(protocol, shared, worker, partition)
        yield from _poll(protocol, shared, worker, partition)
        yield from _leave(protocol, shared, worker, partition)
    yield from _settle(protocol, shared, worker)
    if worker.fenced:
        rejoined = first_worker(protocol.bounds)._replace(settlement=worker.settlement)
        yield Step("joins the group anew", True, _free(shared, worker), rejoined)
    if shared.disturbances and worker != first_worker(protocol.bounds):
        yield from _faults(protocol, disturbed(shared), worker)


def relay_steps(protocol: Protocol, shared: Shared) -> Iterator[WorldStep]:
    """What a relay does next: `worker/relay.py:publish_round`."""
    for job, event in enumerate(shared.events):
        for label, after, ids in protocol.relay(event, shared.event_ids[job]):
            changed = shared._replace(events=put(shared.events, job, after), event_ids=put(shared.event_ids, job, ids))
            yield WorldStep(f"a relay {label} the event of job {job}", True, changed)


def expiries(protocol: Protocol, shared: Shared) -> Iterator[WorldStep]:
    """What retention can remove now."""
    if not (protocol.bounds.retention and shared.disturbances):
        return
    for partition, topic in enumerate(shared.topics):
        if topic.first_offset < len(protocol.bounds.log[partition]):
            expired = topic._replace(first_offset=topic.first_offset + 1)
            label = f"offset {topic.first_offset} of partition {partition} expires"
            yield WorldStep(label, False, put_topic(disturbed(shared), partition, expired))


def _give(shared: Shared, worker: Worker, partition: int) -> Iterator[Step]:
    """The group gives a free partition to the worker: `on_assign` begins (`worker/intake.py:assigned`)."""
    topic = shared.topics[partition]
    if not topic.owned and not worker.fenced:
        held = Held(True, UNLEASED, 0, NOTHING)
        given = put_topic(shared, partition, topic._replace(owned=True))
        yield Step(f"is given partition {partition}", True, given, put_held(worker, partition, held))


def _acquire(protocol: Protocol, shared: Shared, worker: Worker, partition: int) -> Iterator[Step]:
    """It takes the lease: `storage/leases.py:acquire_leases`, perhaps long after the group gave, or took away again.

    What expired unread goes to `quarantine` in the same transaction (`worker/intake.py`, `_gap`).
    """
    held, topic = _of(worker, partition), shared.topics[partition]
    if held.epoch != UNLEASED:
        return
    topic, next_offset = protocol.acquire(topic)
    start = max(next_offset, topic.first_offset)
    topic = topic._replace(quarantined=topic.quarantined | frozenset(range(next_offset, start)))
    held = held._replace(epoch=topic.epoch, position=start)
    label = f"takes the lease of partition {partition} (epoch {topic.epoch}, starts at {start})"
    yield Step(label, True, put_topic(shared, partition, topic), put_held(worker, partition, held))


def _poll(protocol: Protocol, shared: Shared, worker: Worker, partition: int) -> Iterator[Step]:
    """It takes the next messages in flight: `worker/intake.py:turn`, `Assignments.receive`.

    What happens to it until the settler gathers its outcome is nobody else's business (asking the history first,
    `worker/admitter.py`, spares work and nothing else), so it takes no step here. Where retention has overtaken the
    position, the client gives up (`auto.offset.reset=error`) and is made anew.
    """
    held = _of(worker, partition)
    end = len(protocol.bounds.log[partition])
    if held.epoch in (UNLEASED, FENCED) or held.position == end or worker.fenced:
        return
    if held.position < shared.topics[partition].first_offset:
        yield Step(f"finds that offset {held.position} has expired", True, shared, worker._replace(fenced=True))
        return
    upto = min(end, held.position + protocol.bounds.poll_messages)
    polled = held._replace(position=upto, in_flight=held.in_flight | frozenset(range(held.position, upto)))
    label = f"polls partition {partition} up to offset {upto}"
    yield Step(label, True, shared, put_held(worker, partition, polled))


def _leave(protocol: Protocol, shared: Shared, worker: Worker, partition: int) -> Iterator[Step]:
    """A partition goes: it is revoked in order, or a worker learns that it was expelled.

    `worker/intake.py:revoked` stops polling, waits, forgets. How far it has come by then is chance: a full drain is
    this step after everything was committed, no drain at all is this step now. The group waits for it.
    `worker/intake.py:lost` forgets. A transaction that has begun goes on in either case.
    """
    held = _of(worker, partition)
    late = protocol.recorded_later(shared, partition, held)
    forgotten = put_held(worker, partition, None)._replace(settlement=worker.settlement + late)
    if held.member and shared.disturbances:
        free = put_topic(disturbed(shared), partition, shared.topics[partition]._replace(owned=False))
        yield Step(f"gives up partition {partition} in order", False, free, forgotten)
    if not held.member:
        told = _tell(shared, partition, protocol.told_when_lost(held))
        yield Step(f"learns that partition {partition} was lost", True, told, forgotten)


def _settle(protocol: Protocol, shared: Shared, worker: Worker) -> Iterator[Step]:
    """Gather outcomes, then run their transaction: `worker/settler.py:work`, `storage/settlement.py:settle`.

    A transaction that is rolled back changes nothing and is repeated: no step of its own. One whose COMMIT gets no
    answer took effect or did not.
    """
    for partition, offset in protocol.told_kafka(worker).items():
        if (told := _tell(shared, partition, offset)) != shared:
            yield Step(f"tells Kafka offset {offset} of partition {partition}", True, told, worker)
    if not worker.settlement:
        for gathering in gather(protocol, worker):
            offsets = ", ".join(f"{sorted(entry.offsets)} of {entry.partition}" for entry in gathering.settlement)
            yield Step(f"gathers outcomes {offsets}", True, shared, gathering)
        return
    yield Step("commits its settlement", True, *commit(protocol, shared, worker))
    written, _ = commit(protocol, shared, worker)
    unsure = protocol.when_unsure(worker)
    yield Step("commits, and gets no answer", False, written, unsure)
    yield Step("loses the connection during COMMIT, without effect", False, shared, unsure)


def _faults(protocol: Protocol, shared: Shared, worker: Worker) -> Iterator[Step]:
    """The process dies (at any point: nothing but the database outlives it), or the group takes it for dead.

    An expelled worker keeps its belief until it polls: a zombie.
    """
    yield Step("crashes", False, _free(shared, worker), first_worker(protocol.bounds))
    if any(held is not None and held.member for held in worker.held):
        zombie = tuple(held and held._replace(member=False) for held in worker.held)
        yield Step("is expelled from the group", False, _free(shared, worker), worker._replace(held=zombie))


def _free(shared: Shared, worker: Worker) -> Shared:
    """It leaves the group: `worker/worker.py:_rejoin`, `Intake.forget_all`, or the session timeout."""
    for partition, held in enumerate(worker.held):
        if held is not None and held.member:
            shared = put_topic(shared, partition, shared.topics[partition]._replace(owned=False))
    return shared


def _tell(shared: Shared, partition: int, offset: int) -> Shared:
    """Kafka is told an offset: `worker/kafka_broker.py:commit`. What that may not be is one ahead of the database.

    Behind a gap it is ahead: a worker tells Kafka where it started, before a settlement moves next_offset over the gap.
    """
    topic = shared.topics[partition]
    ahead = not frozenset(range(topic.next_offset, offset)) <= topic.quarantined
    return shared._replace(kafka_ahead=shared.kafka_ahead or ahead)


def disturbed(shared: Shared) -> Shared:
    return shared._replace(disturbances=shared.disturbances - 1)


def put_topic(shared: Shared, partition: int, topic: Topic) -> Shared:
    return shared._replace(topics=put(shared.topics, partition, topic))


def put_held(worker: Worker, partition: int, held: Held | None) -> Worker:
    return worker._replace(held=put(worker.held, partition, held))


def put(values: tuple[Value, ...], place: int, value: Value) -> tuple[Value, ...]:
    return (*values[:place], value, *values[place + 1 :])


def _of(worker: Worker, partition: int) -> Held:
    held = worker.held[partition]
    assert held is not None
    return held
