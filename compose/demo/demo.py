"""The demo: a real broker, a real database, a worker process, a few hundred sentences, and a look at the history.

Only puts together what the other parts offer; shows nothing that did not come back from Kafka or Postgres.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import click
from sqlalchemy import Engine, text

from ...errors import DragomanError
from ...producer.kafka import KafkaPublisher, KafkaTail
from ...producer.producer import TranslationProducer
from ...producer.publisher import OutgoingMessage
from ...producer.replies import ResultReader
from ...producer.topics import ensure_topics
from ...schemas.codec import decode_dead_letter
from ...schemas.dead_letters import DeadLetter
from ...schemas.results import TranslationResult
from ...schemas.topics import DEAD_LETTERS, JOBS_BULK
from ...settings import Settings, load_settings
from ...storage.engine import create_database_engine, transaction
from ...storage.migrate import upgrade
from ..local import LocalStack, StackOptions
from . import report
from .progress import Counts, ProgressLine
from .worker import WorkerService, worker_process

SENTENCES = Path(__file__).with_name("sentences.txt")
# Someone's log line that went to the wrong topic.
BAD_MESSAGE = b"2026-01-01 WARN this is not a job"
# Long enough for a slow machine; the demo takes well under a minute on two free cores.
PATIENCE_SECONDS = 300.0
CLIENT = f"demo-{os.getpid()}"
RECORDED = """
SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(started_at)), 0)
FROM translation WHERE client_id = :client
"""


def run_demo() -> None:
    """Run the whole pipeline once and stop everything it started; raises `DragomanError` when a part fails."""
    started = time.monotonic()
    report.heading("Starting Apache Kafka and PostgreSQL on this machine")
    with LocalStack(StackOptions().with_given_services()) as stack:
        settings = load_settings(
            kafka_bootstrap_servers=stack.kafka_bootstrap_servers,
            database_url=stack.database_url,
            topic_prefix=f"{CLIENT}.",
            client_id=CLIENT,
        )
        ensure_topics(settings)
        upgrade(stack.database_url)
        click.echo(f"  Kafka {stack.kafka_bootstrap_servers} and PostgreSQL, ready after {_since(started)}")
        with worker_process(settings) as worker, _database(settings) as engine:
            _show(settings, engine, worker)
    report.heading(f"Everything is stopped. The demo took {_since(started)}.")
    click.echo("  Next: `dragoman up` keeps such a stack running; README.md shows how to publish your own jobs.")


def _show(settings: Settings, engine: Engine, worker: WorkerService) -> None:
    sentences = SENTENCES.read_text(encoding="utf-8").splitlines()
    report.heading(f"Publishing {len(sentences)} English sentences and one message that is no job")
    with ResultReader(settings, start="beginning") as results, _dead_letters(settings) as dead_letters:
        jobs = _publish(settings, sentences)
        translations = _follow(engine, results, jobs, worker)
        report.translations(sentences, [translations[job_id] for job_id in jobs])
        report.dead_letter(_first(dead_letters))
    report.history(engine)


def _publish(settings: Settings, sentences: list[str]) -> list[UUID]:
    publisher = KafkaPublisher(settings)
    message = OutgoingMessage(JOBS_BULK.full_name(settings.topic_prefix), b"", BAD_MESSAGE, [])
    publisher.publish(message, lambda _: None)
    with TranslationProducer(settings) as producer:
        jobs = list(producer.submit_many(sentences, source="en", target="fr", lane="bulk"))
    publisher.poll(1.0)
    publisher.close()
    return jobs


def _follow(
    engine: Engine, results: ResultReader, jobs: list[UUID], worker: WorkerService
) -> dict[UUID, TranslationResult]:
    """Wait until every job has its result, showing how it goes; returns the results by job."""
    wanted = set(jobs)
    found: dict[UUID, TranslationResult] = {}
    deadline = time.monotonic() + PATIENCE_SECONDS
    line = ProgressLine()
    while wanted - found.keys() and time.monotonic() < deadline:
        worker.raise_if_ended()
        found |= {result.job_id: result for result in results.poll(0.2) if result.job_id in wanted}
        with transaction(engine) as connection:
            recorded, seconds = connection.execute(text(RECORDED), {"client": CLIENT}).one()
        counts = Counts(len(jobs), len(found), recorded, float(seconds))
        line.update(counts)
    line.finish(counts)
    if wanted - found.keys():
        missing = len(wanted - found.keys())
        raise DragomanError(f"{missing} of {len(jobs)} jobs had no result within {PATIENCE_SECONDS:.0f} s")
    return found


@contextmanager
def _database(settings: Settings) -> Iterator[Engine]:
    engine = create_database_engine(settings.database_url.get_secret_value(), application_name="dragoman-demo")
    try:
        yield engine
    finally:
        engine.dispose()


def _dead_letters(settings: Settings) -> KafkaTail:
    return KafkaTail(settings, DEAD_LETTERS.full_name(settings.topic_prefix), start="beginning")


def _first(dead_letters: KafkaTail) -> DeadLetter:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        for message in dead_letters.poll(0.5):
            return decode_dead_letter(message.value)
    raise DragomanError("the message that is no job never arrived as a dead letter")


def _since(started: float) -> str:
    return f"{time.monotonic() - started:.1f} s"
