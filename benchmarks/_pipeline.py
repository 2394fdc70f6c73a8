"""Installations for benchmarks: a broker and a database, jobs that lie ready, workers. Measures nothing."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any, Protocol
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
    with publishing(settings) as publish:
        for number in range(count):
            publish(texts[number % len(texts)], "bulk", f"client-{number % 7}")
    return Work(settings, count)


@contextmanager
def publishing(settings: Settings) -> "Iterator[_Publish]":
    """A function that publishes a job; at the end every job has arrived."""
    publisher = KafkaPublisher(settings)
    reports: list[str | None] = []
    options = TranslationOptions(beam_size=1)
    given = 0

    def publish(text: str, lane: Lane, client_id: str) -> None:
        nonlocal given
        job = TranslationJob(
            client_id=client_id,
            source_text=text,
            source_language="en",
            target_language="fr",
            lane=lane,
            options=options,
        )
        topic = TOPICS[lane].full_name(settings.topic_prefix)
        message = OutgoingMessage(topic, str(job.job_id).encode(), encode(job), [])
        given += 1
        while not publisher.publish(message, lambda report: reports.append(report.error)):
            publisher.poll(0.1)
        publisher.poll(0)

    yield publish
    while len(reports) < given:
        publisher.poll(0.1)
    publisher.close()
    if failures := [error for error in reports if error]:
        sys.exit(f"{len(failures)} jobs were not published: {failures[0]}")


class _Publish(Protocol):
    def __call__(self, text: str, lane: Lane, client_id: str) -> None: ...


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
