"""Builders of the values that the stages pass on, without a broker and without a database."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from dragoman.model.batching import BatchLimits
from dragoman.schemas.codec import encode
from dragoman.schemas.jobs import TranslationJob
from dragoman.worker.assignments import Assignments, Delivery
from dragoman.worker.message import Message, Partition
from dragoman.worker.pipeline import Pipeline
from dragoman.worker.scheduling.policy import Policy
from dragoman.worker.scheduling.pool import Pool
from dragoman.worker.scheduling.scheduler import Scheduler
from dragoman.worker.scheduling.translation_cache import TranslationCache
from dragoman.worker.scheduling.waiting_room import WaitingRoom
from dragoman.worker.work import Identity, Segment

TOPIC = "jobs.bulk"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
FRENCH = Pool("en", "fr", "echo@0", 4, 1.0)
AT_ONCE = {"interactive": 0.0, "bulk": 0.0}


@dataclass(frozen=True)
class Builder:
    """Short ways to a message, a delivery, a segment."""

    identity: Identity = field(default_factory=lambda: Identity("worker", "group", ""))

    def job(self, text: str = "Hello.", **changes: Any) -> TranslationJob:
        plain = {"client_id": "someone", "source_text": text, "source_language": "en", "target_language": "fr"}
        return TranslationJob(**{**plain, **changes})

    def message(self, offset: int = 0, value: bytes | None = b"{}", **changes: Any) -> Message:
        plain = {
            "topic": TOPIC,
            "partition_number": 0,
            "offset": offset,
            "key": b"key",
            "value": value,
            "headers": (),
            "timestamp_seconds": NOON.timestamp(),
        }
        return Message(**{**plain, **changes})

    def job_message(self, job: TranslationJob, offset: int = 0, **changes: Any) -> Message:
        return self.message(offset, encode(job), **changes)

    def assignments(self, *numbers: int, epoch: int = 1) -> Assignments:
        assignments = Assignments()
        for number in numbers or (0,):
            assignments.add((TOPIC, number), epoch, 0)
        return assignments

    def delivery(self, message: Message, assignments: Assignments | None = None) -> Delivery:
        delivery = (assignments or self.assignments(message.partition_number)).receive(message)
        assert delivery is not None
        return delivery

    def segment(self, length: int = 5, since_seconds: float = 0.0, **changes: Any) -> Segment:
        """A segment of `length` places, the END mark counted."""
        delivery = changes.pop("delivery", None) or self.delivery(self.message())
        return Segment(delivery, changes.pop("job", PLAIN_JOB), tuple(range(length - 1)), NOON, since_seconds)

    def pipeline(self, limits: BatchLimits = BatchLimits(4096, 256)) -> Pipeline:  # noqa: B008 - it is frozen
        """A pipeline that owns partition 0 and never makes a batch wait."""
        pipeline = Pipeline(self.identity, WaitingRoom(Scheduler(Policy(limits, AT_ONCE)), TranslationCache(1_000_000)))
        pipeline.assignments.add(self.partition(), 1, 0)
        return pipeline

    def partition(self, number: int = 0) -> Partition:
        return (TOPIC, number)


PLAIN_JOB = Builder().job()


@pytest.fixture(scope="session")
def build() -> Builder:
    return Builder()
