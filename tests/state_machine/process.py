"""One worker without its threads: the real intake, settler and relay, moved by hand. Knows no model."""

from collections.abc import Sized
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import cast
from uuid import UUID

from dragoman.producer.memory import MemoryPublisher
from dragoman.storage.known_jobs import known_jobs
from dragoman.storage.records import HistoryRow, OutboxEvent, Status
from dragoman.worker.assignments import Delivery
from dragoman.worker.broker import ClientLostError
from dragoman.worker.intake import Intake, IntakeLimits
from dragoman.worker.memory_broker import MemoryBroker, MemoryCluster
from dragoman.worker.message import Partition
from dragoman.worker.pipeline import Pipeline
from dragoman.worker.relay import Relay
from dragoman.worker.scheduling.waiting_room import WaitingRoom
from dragoman.worker.settler import Settler
from dragoman.worker.work import Identity, Outcome
from sqlalchemy import Engine

GROUP = "workers"
RESULTS, DEAD_LETTERS = "results", "dead-letters"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
# A job is rejected or not whoever reads it and whenever: by a bit of its number.
REJECTED_BIT = 1


class NothingWaits(Sized):
    """Stands where the waiting room does: the machine itself keeps what is being worked on."""

    def __len__(self) -> int:
        return 0

    def remove(self, partitions: object) -> list[object]:
        return []


@dataclass
class Process:
    """What one worker process has in memory."""

    name: str
    database: Engine
    cluster: MemoryCluster
    publisher: MemoryPublisher
    working: list[Delivery] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.pipeline = Pipeline(Identity(self.name, GROUP, ""), cast("WaitingRoom", NothingWaits()))
        self.intake = Intake(self.pipeline, self.database, IntakeLimits(1_000, 1_000_000, drain_seconds=0.0))
        self.settler = Settler(self.pipeline, self.database, self.publisher)
        self.relay = Relay(self.pipeline, self.database, self.publisher)
        self.broker = MemoryBroker(self.cluster, GROUP, self.intake)

    def poll(self) -> None:
        """One turn of the polling thread; where that asks for it, the group is joined anew (`Worker._rejoin`)."""
        try:
            self.intake.turn(self.broker)
        except ClientLostError:
            self.intake.forget_all()
            self.broker.close(0.0)
            self.broker = MemoryBroker(self.cluster, GROUP, self.intake)
        self.working += self.pipeline.inbox.bulk.gather(1_000, 0.0)

    def finish(self, place: int, *, asks_the_history: bool) -> None:
        """One message has an outcome, as the admitter or the engine would make it."""
        delivery = self.working.pop(place)
        assignments = self.pipeline.assignments
        job_id = UUID(bytes=delivery.message.value or b"")
        if not assignments.admitted([delivery])[0]:
            assignments.give_back([delivery])
        elif asks_the_history and known_jobs(self.database, [job_id]).recorded:
            self.pipeline.finished.put([Outcome(delivery)])
        else:
            self.pipeline.finished.put([_outcome(self.name, delivery, job_id)])

    def settle(self) -> None:
        """One round of the settler, if anything is finished; it ends when the outcome is certain."""
        if not self.pipeline.finished.bulk.empty():
            self.settler.work()

    def drain(self) -> None:
        """Finish and record everything that was taken in."""
        while self.working:
            self.finish(0, asks_the_history=False)
        self.settle()

    def partitions(self) -> frozenset[Partition]:
        return self.pipeline.assignments.partitions()


def _outcome(worker_id: str, delivery: Delivery, job_id: UUID) -> Outcome:
    rejected = bool(job_id.int & REJECTED_BIT)
    status: Status = "rejected" if rejected else "translated"
    topic, partition = delivery.message.partition
    row = HistoryRow(
        job_id=job_id,
        client_id="someone",
        lane="bulk",
        source_language="en",
        target_language="fr",
        source_text="Hello.",
        status=status,
        submitted_at=NOON,
        admitted_at=NOON,
        kafka_topic=topic,
        kafka_partition=partition,
        kafka_offset=delivery.message.offset,
        lease_epoch=delivery.assignment.epoch,
        worker_id=worker_id,
    )
    topics = (RESULTS, DEAD_LETTERS) if rejected else (RESULTS,)
    return Outcome(delivery, row, tuple(_event(job_id, topic) for topic in topics))


def _event(job_id: UUID, topic: str) -> OutboxEvent:
    event_id = UUID(int=job_id.int ^ (1 << 64 if topic == RESULTS else 1 << 65))
    return OutboxEvent(event_id, job_id, topic, job_id.bytes, (("ce_id", str(event_id)),), b"payload")
