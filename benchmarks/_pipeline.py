"""Installations for benchmarks: a broker and a database, jobs that lie ready, workers. Measures nothing."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any, Self
from uuid import uuid4

import psycopg2
from dragoman.compose.local import LocalStack
from dragoman.producer.kafka import KafkaPublisher
from dragoman.producer.publisher import OutgoingMessage
from dragoman.producer.topics import ensure_topics
from dragoman.schemas.codec import encode
from dragoman.schemas.jobs import Lane, TranslationJob, TranslationOptions
from dragoman.schemas.topics import JOBS_BULK, JOBS_INTERACTIVE
from dragoman.settings import Settings
from dragoman.storage.migrate import upgrade
from sqlalchemy.engine import make_url

PATIENCE_SECONDS = 600.0
LOOK_SECONDS = 0.1
DONE = "SELECT coalesce(sum(next_offset), 0)::bigint FROM ingest_lease WHERE topic LIKE '%%jobs.' || %s"
TOPICS = {"bulk": JOBS_BULK, "interactive": JOBS_INTERACTIVE}


@dataclass(frozen=True, slots=True)
class Work:
    """Jobs that lie ready in a topic of an installation of their own."""

    settings: Settings
    count: int

    @property
    def database_url(self) -> str:
        """As psycopg2 wants it."""
        url = make_url(self.settings.database_url.get_secret_value())
        return url.set(drivername="postgresql").render_as_string(hide_password=False)


def published(stack: LocalStack, texts: Sequence[str], count: int) -> Work:
    """Topics and a database of their own, and `count` jobs in the bulk lane."""
    work = Work(installed(stack), count)
    with Publishing(work.settings) as publish:
        for number in range(count):
            publish(texts[number % len(texts)], "bulk", f"client-{number % 7}")
    return work


def installed(stack: LocalStack) -> Settings:
    """Topics and a database of their own, without a job."""
    name = f"b{uuid4().hex[:8]}"
    server = make_url(stack.database_url)
    connection = psycopg2.connect(server.set(drivername="postgresql").render_as_string(hide_password=False))
    connection.autocommit = True
    connection.cursor().execute(f"CREATE DATABASE {name}")
    connection.close()
    settings = Settings(
        kafka_bootstrap_servers=stack.kafka_bootstrap_servers,
        database_url=server.set(database=name).render_as_string(hide_password=False),
        topic_prefix=f"{name}.",
        client_id="benchmark",
    )
    ensure_topics(settings)
    upgrade(settings.database_url.get_secret_value())
    return settings


class Publishing:
    """Publishes jobs; leaving it waits until every one has arrived."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._publisher = KafkaPublisher(settings)
        self._options = TranslationOptions(beam_size=1)
        self._reports: list[str | None] = []
        self._given = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        while len(self._reports) < self._given:
            self._publisher.poll(0.1)
        self._publisher.close()
        if failures := [error for error in self._reports if error]:
            sys.exit(f"{len(failures)} jobs were not published: {failures[0]}")

    def __call__(self, text: str, lane: Lane, client_id: str) -> None:
        """Publish a job."""
        job = TranslationJob(
            client_id=client_id,
            source_text=text,
            source_language="en",
            target_language="fr",
            lane=lane,
            options=self._options,
        )
        self.message(lane, str(job.job_id).encode(), encode(job))

    def message(self, lane: Lane, key: bytes, value: bytes) -> None:
        """Publish what may be no job at all."""
        message = OutgoingMessage(TOPICS[lane].full_name(self._settings.topic_prefix), key, value, [])
        self._given += 1
        while not self._publisher.publish(message, lambda report: self._reports.append(report.error)):
            self._publisher.poll(0.1)
        self._publisher.poll(0)


class Looker:
    """Asks the database of an installation."""

    def __init__(self, work: Work) -> None:
        self._connection = psycopg2.connect(work.database_url)
        self._connection.autocommit = True

    def value(self, query: str, *parameters: Any) -> Any:
        cursor = self._connection.cursor()
        cursor.execute(query, parameters)
        return (cursor.fetchone() or (None,))[0]

    def values(self, query: str, *parameters: Any) -> list[Any]:
        cursor = self._connection.cursor()
        cursor.execute(query, parameters)
        return [found[0] for found in cursor.fetchall()]

    def wait(self, lane: str, count: int) -> None:
        """Until so many messages of the lane are done with; ends the benchmark when their number stands still."""
        done, since = 0, time.monotonic()
        while (now := int(self.value(DONE, lane))) < count:
            if now > done:
                done, since = now, time.monotonic()
            elif time.monotonic() - since > PATIENCE_SECONDS:
                raise SystemExit(f"the worker stands still at {done:,} of {count:,} jobs: see its log above")
            time.sleep(LOOK_SECONDS)


@contextmanager
def worker(work: Work, arguments: Sequence[str], **changes: Any) -> "Iterator[subprocess.Popen[bytes]]":
    """A worker process on that installation, ended by SIGTERM; `changes` are settings."""
    given: Mapping[str, Any] = work.settings.model_dump(exclude_defaults=True) | {
        "database_url": work.settings.database_url.get_secret_value(),
        "health_port": 0,
        "log_format": "json",
        "log_level": "warning",
        **changes,
    }
    environment = os.environ | {f"DRAGOMAN_{name.upper()}": str(value) for name, value in given.items()}
    process = subprocess.Popen([sys.executable, "-m", "dragoman", "worker", *arguments], env=environment)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


@contextmanager
def local_stack() -> Iterator[LocalStack]:
    """A broker and a database of their own."""
    with TemporaryDirectory(prefix="dragoman-bench-"), LocalStack() as running:
        yield running
