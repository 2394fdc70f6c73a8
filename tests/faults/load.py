"""A steady, seeded stream of jobs with poison and repetitions in it, journaled. A thread of its own.

What Kafka did not acknowledge is published again under the same id, as a caller would: so the load itself makes
the duplicates that an unreachable broker makes.
"""

import json
import random
import re
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dragoman.producer.kafka import KafkaPublisher
from dragoman.producer.publisher import DeliveryReport, OutgoingMessage
from dragoman.schemas.ids import new_job_id
from dragoman.settings import Settings
from dragoman.tests.faults import poison
from dragoman.tests.faults.journal import Acknowledged, Journal, Pending

TICK_SECONDS = 0.02
JOB_ID = re.compile(rb'"job_id": "([0-9a-f-]{36})"')
LANES = ("jobs.interactive", "jobs.bulk")
WORDS = (
    "the",
    "house",
    "of",
    "a",
    "neighbour",
    "stood",
    "by",
    "river",
    "when",
    "winter",
    "came",
    "and",
    "snow",
    "fell",
)


@dataclass(frozen=True, slots=True)
class Mix:
    """What the stream is made of."""

    jobs_per_second: float = 150.0
    poison_share: float = 0.01
    repeated_share: float = 0.02
    interactive_share: float = 0.3
    no_trace_share: float = 0.0
    key: str | None = None  # all jobs to the partition of this key


@dataclass(frozen=True, slots=True)
class _Parcel:
    key: str
    topic: str
    message_key: bytes
    value: bytes | None
    poison: str


class Load:
    """Publishes until stopped; `drain` waits until Kafka has acknowledged all of it."""

    def __init__(self, settings: Settings, journal: Journal, seed: int, mix: Mix | None = None) -> None:
        self._settings = settings.model_copy(update={"delivery_timeout_seconds": 20.0})
        self.journal = journal
        self.mix = mix or Mix()
        self._random = random.Random(seed)
        self._publisher = KafkaPublisher(self._settings)
        self._pending = Pending()
        self._again: list[_Parcel] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self.failure: BaseException | None = None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Publish nothing new, and return when Kafka has everything; raises when it will not take it."""
        self._stopping.set()
        self._thread.join()
        if self.failure is not None:
            raise self.failure
        deadline = time.monotonic() + 120
        while len(self._pending) or self._again:
            assert time.monotonic() < deadline, f"{len(self._pending)} messages were never acknowledged by Kafka"
            self._publish_again()
            self._publisher.poll(0.05)
        self.journal.sync()
        self._publisher.close()

    def publish(self, topic: str, values: Sequence[bytes | None], reason: str = "", key: str | None = None) -> None:
        """Publish messages of a fault's own beside the stream; a `reason` says that they are poison."""
        for value in values:
            # Published again after an unknown end, a message with a job id has one row for all its copies.
            inside = JOB_ID.search(value or b"")
            name = inside[1].decode() if inside else f"own-{new_job_id()}"
            self._send(_Parcel(name, topic, (key or name).encode(), value, reason or "own"))

    def publish_texts(self, topic: str, texts: Sequence[str]) -> None:
        """Publish good jobs with these texts."""
        for text in texts:
            self._send(self._parcel(topic, poison.fields(text)))

    def publish_copies(self, topics: Sequence[str], text: str) -> str:
        """Publish one job to each of these topics; returns its id."""
        job_id = str(new_job_id())
        for topic in topics:
            for number in range(5):
                key = f"{job_id}-{number}".encode()
                self._send(_Parcel(job_id, topic, key, poison.job(text, job_id=job_id), ""))
        return job_id

    def _run(self) -> None:
        try:
            start, published = time.monotonic(), 0
            while not self._stopping.is_set():
                due = int((time.monotonic() - start) * self.mix.jobs_per_second)
                for _ in range(min(due - published, 500)):
                    self._one()
                published = due
                self._publish_again()
                self._publisher.poll(0)
                self.journal.sync()
                self._stopping.wait(TICK_SECONDS)
        except BaseException as error:  # noqa: BLE001 - told by `stop`, in the thread of the test
            self.failure = error

    def _one(self) -> None:
        topic = LANES[self._random.random() >= self.mix.interactive_share]
        dice = self._random.random()
        if dice < self.mix.poison_share / 2:
            name, value = poison.bad_message(self._random)
            self.publish(topic, [value], name)
        elif dice < self.mix.poison_share:
            name, text = poison.choking_text(self._random)
            self._send(self._parcel(topic, poison.fields(text), name))
        else:
            self._send_good(topic)

    def _text(self) -> str:
        words = self._random.choices(WORDS, k=self._random.choice((2, 4, 8, 8, 16, 40)))
        return f"{poison.CANARY} {' '.join(words)} {self._random.random():.9f}"

    def _send_good(self, topic: str) -> None:
        text, is_repeated = self._text(), self._random.random() < self.mix.repeated_share
        leaves_no_trace = self._random.random() < self.mix.no_trace_share
        parcel = self._parcel(topic, poison.fields(text, **({"no_trace": True} if leaves_no_trace else {})))
        self._send(parcel)
        if is_repeated:
            self._send(parcel)

    def _parcel(self, topic: str, value: dict[str, Any], reason: str = "") -> _Parcel:
        value["lane"] = topic.removeprefix("jobs.")
        job_id: str = value["job_id"]
        key = (self.mix.key or job_id).encode()
        return _Parcel(job_id, topic, key, json.dumps(value).encode(), reason)

    def _send(self, parcel: _Parcel) -> None:
        self.journal.submit(parcel.key)
        pending = f"{parcel.key}/{time.monotonic_ns()}"
        self._pending.add(pending)
        topic = self._settings.topic_prefix + parcel.topic

        def reported(report: DeliveryReport) -> None:
            if report.error is None and report.partition is not None and report.offset is not None:
                entry = Acknowledged(parcel.key, topic, report.partition, report.offset, parcel.poison)
                self.journal.acknowledge(entry)
            else:
                self._again.append(parcel)
            self._pending.remove(pending)

        message = OutgoingMessage(topic, parcel.message_key, parcel.value, [])
        while not self._publisher.publish(message, reported):
            self._publisher.poll(0.05)

    def _publish_again(self) -> None:
        again, self._again = self._again, []
        for parcel in again:
            self._send(parcel)
