"""Random histories of up to three workers over a real PostgreSQL, and what must be true after every step.

The rules are the actions of `tests/model_check/actions.py`, on the real code instead of a model of it.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from uuid import UUID

from dragoman.errors import TransientError
from dragoman.producer.memory import MemoryPublisher
from dragoman.storage.engine import transaction
from dragoman.tests.emptying import empty_tables
from dragoman.tests.state_machine.audit import OWN_TABLES, Audit
from dragoman.tests.state_machine.faults import Faults
from dragoman.tests.state_machine.process import GROUP, Process
from dragoman.worker.memory_broker import MemoryCluster
from dragoman.worker.message import Partition
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import Engine

PARTITIONS: tuple[Partition, ...] = (("jobs.bulk", 0), ("jobs.bulk", 1))
MOST_WORKERS, MOST_JOBS = 3, 8
# Rounds in which everything gets done when nothing disturbs any more: rejoining takes several turns each.
ROUNDS = 12

workers = st.integers(0, MOST_WORKERS - 1)
partitions = st.sampled_from(PARTITIONS)
commits = st.sampled_from(["answers", "without_effect", "without_answer", "conflict"])


@dataclass(frozen=True)
class Stage:
    """What all histories share."""

    database: Engine
    faults: Faults


class DeliveryMachine(RuleBasedStateMachine):
    """Every history starts with an empty database and an empty log."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.stage = stage
        with transaction(stage.database) as connection:
            empty_tables(connection, *OWN_TABLES)
        self.cluster = MemoryCluster(PARTITIONS)
        self.publisher = MemoryPublisher()
        self.log: dict[Partition, list[UUID]] = {partition: [] for partition in PARTITIONS}
        self.jobs: list[UUID] = []
        self.processes: list[Process] = []
        self.started = 0

    @initialize(first=st.lists(st.tuples(partitions, st.integers(0, 2)), min_size=3, max_size=5))
    def start(self, first: list[tuple[Partition, int]]) -> None:
        """Two workers that have taken a few messages in, some of them twice the same job."""
        for partition, number in first:
            if number < len(self.jobs):
                self.publish_again(partition, number)
            else:
                self.publish(partition)
        for _ in range(2):
            self._start_worker()
        for process in self.processes:
            process.poll()

    @rule(partition=partitions)
    def publish(self, partition: Partition) -> None:
        if len(self.jobs) < MOST_JOBS:
            # UUIDv7-shaped, and different in the lowest bit: every second one is rejected.
            self.jobs.append(UUID(int=0x0190_0000_0000_7000_8000_0000_0000_0000 + len(self.jobs)))
            self._append(partition, self.jobs[-1])

    @precondition(lambda self: self.jobs)
    @rule(partition=partitions, number=st.integers(0, MOST_JOBS - 1))
    def publish_again(self, partition: Partition, number: int) -> None:
        self._append(partition, self.jobs[number % len(self.jobs)])

    @rule(worker=workers)
    def poll(self, worker: int) -> None:
        """Also how a worker hears of its assignments, and a zombie that it was expelled."""
        self._process(worker).poll()

    @rule(worker=workers, place=st.integers(0, 7), asks_the_history=st.booleans())
    def finish(self, worker: int, place: int, asks_the_history: bool) -> None:
        process = self._process(worker)
        if process.working:
            process.finish(place % len(process.working), asks_the_history=asks_the_history)

    @rule(worker=workers, commit=commits)
    def settle(self, worker: int, commit: str) -> None:
        process = self._process(worker)
        self._finish_one(process)
        with self._fault(commit):
            process.settle()

    @precondition(lambda self: len(self.processes) > 1)
    @rule(worker=workers, commit=commits)
    def settle_while_another_takes_over(self, worker: int, commit: str) -> None:
        """The worker freezes between a COMMIT and its repetition, and is expelled meanwhile."""
        process, heir = self._process(worker), self._process(worker + 1)
        self._finish_one(process)

        def meanwhile(_: float) -> None:
            self._expel(process)
            heir.poll()

        process.settler.pause = meanwhile  # type: ignore[assignment, method-assign]
        try:
            with self._fault(commit):
                process.settle()
        finally:
            del process.settler.pause

    @rule(worker=workers)
    def expel(self, worker: int) -> None:
        """The group takes the worker for dead; it does not know."""
        self._expel(self._process(worker))

    @rule(worker=workers)
    def crash(self, worker: int) -> None:
        process = self._process(worker)
        self._expel(process)
        self.processes.remove(process)
        if not self.processes:
            self._start_worker()

    @precondition(lambda self: len(self.processes) < MOST_WORKERS)
    @rule(drains=st.booleans())
    def start_worker(self, drains: bool) -> None:
        """A member more: the others give partitions up, in order, after their work or in the middle of it."""
        self._start_worker()
        for process in self.processes:
            if drains:
                process.drain()
            process.poll()

    @rule(worker=workers, end=st.sampled_from(["deletes", "dies", "is_not_heard"]))
    def relay(self, worker: int, end: str) -> None:
        self.publisher.error = "the brokers are away" if end == "is_not_heard" else None
        dying = self.stage.faults.before("DELETE FROM outbox") if end == "dies" else nullcontext()
        with dying, suppress(TransientError):
            self._process(worker).relay.publish_round()
        self.publisher.error = None

    @rule(worker=workers, end=st.sampled_from(["deletes", "dies", "is_not_heard"]))
    def relay_at_once(self, worker: int, end: str) -> None:
        """What was just recorded is published without a look at the outbox; the relay may die before COMMIT."""
        process = self._process(worker)
        if process.pipeline.owed.empty():
            return
        self.publisher.error = "the brokers are away" if end == "is_not_heard" else None
        dying = self.stage.faults.commit_without_effect() if end == "dies" else nullcontext()
        with dying, suppress(TransientError):
            process.relay.publish_fresh(process.pipeline.owed.get_nowait())
        self.publisher.error = None

    @invariant()
    def nothing_is_lost_or_done_twice(self) -> None:
        with transaction(self.stage.database) as connection:
            audit = Audit(connection)
            wrong = audit.events_and_epochs() + audit.lost(self.log) + audit.unpublished(self._published())
            leases = audit.leases()
        for partition in PARTITIONS:
            committed = self.cluster.position(GROUP, partition).committed_offset or 0
            if committed > leases.get(partition, 0):
                wrong.append(f"Kafka is ahead of the database: {partition}")
        assert not wrong, "; ".join(wrong)

    def teardown(self) -> None:
        """Nothing disturbs any more: everything gets done."""
        for _ in range(ROUNDS):
            for process in self.processes:
                process.poll()
                process.drain()
        for process in self.processes[:1]:
            process.relay.publish_round()
        self.nothing_is_lost_or_done_twice()
        with transaction(self.stage.database) as connection:
            audit = Audit(connection)
            assert audit.recorded() == set(self.jobs), "a job was published and never recorded"
            ends = {partition: len(messages) for partition, messages in self.log.items()}
            assert {p: audit.leases().get(p, 0) for p in PARTITIONS} == ends, "messages were never passed"
            assert audit.owed() == 0, "an event was never published"

    def _published(self) -> set[UUID]:
        return {UUID(dict(message.headers)["ce_id"].decode()) for message in self.publisher.messages}

    @staticmethod
    def _finish_one(process: Process) -> None:
        """So that there is something to settle."""
        if process.working and process.pipeline.finished.bulk.empty():
            process.finish(len(process.working) - 1, asks_the_history=False)

    def _append(self, partition: Partition, job_id: UUID) -> None:
        self.cluster.publish(partition, job_id.bytes)
        self.log[partition].append(job_id)

    def _process(self, worker: int) -> Process:
        return self.processes[worker % len(self.processes)]

    def _start_worker(self) -> None:
        self.started += 1
        self.processes.append(Process(f"worker-{self.started}", self.stage.database, self.cluster, self.publisher))

    def _expel(self, process: Process) -> None:
        with suppress(ValueError):  # it was expelled before, and has not heard of it
            self.cluster.expel(process.broker)

    def _fault(self, commit: str) -> AbstractContextManager[None]:
        faults = self.stage.faults
        chosen: dict[str, Callable[[], AbstractContextManager[None]]] = {
            "answers": nullcontext,
            "without_effect": faults.commit_without_effect,
            "without_answer": faults.commit_without_answer,
            "conflict": faults.conflict,
        }
        return chosen[commit]()
