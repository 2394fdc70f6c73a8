"""A worker told to stop is gone within 15 s, whatever its services do; what it leaves undone the next one does."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from dragoman.compose.local import KafkaOptions, LocalStack, StackOptions
from dragoman.producer.topics import ensure_topics
from dragoman.settings import Settings
from dragoman.storage.migrate import upgrade
from dragoman.tests.acceptance.installation import Installation, WorkerProcess, wait_until
from dragoman.tests.acceptance.test_bad_input import job

pytestmark = [pytest.mark.services, pytest.mark.timeout(400)]

EXIT_SECONDS = 15.0


@pytest.fixture(scope="module")
def own_stack() -> Iterator[LocalStack]:
    """Services of our own: they are frozen and killed."""
    options = StackOptions(kafka=KafkaOptions(consumer_session_timeout_seconds=6.0))
    with LocalStack(options) as stack:
        yield stack


@pytest.fixture
def installation(own_stack: LocalStack, topic_prefix: str, tmp_path: Path) -> Iterator[Installation]:
    settings = Settings(
        kafka_bootstrap_servers=own_stack.kafka_bootstrap_servers,
        database_url=own_stack.database_url,
        topic_prefix=topic_prefix,
    )
    ensure_topics(settings)
    upgrade(own_stack.database_url)
    with ExitStack() as resources:
        installation = Installation(settings, tmp_path, resources)
        with installation.engine.begin() as connection:
            connection.exec_driver_sql("TRUNCATE translation, batch, outbox, quarantine, ingest_lease")
        yield installation


def busy_worker(installation: Installation) -> WorkerProcess:
    """A worker in the middle of its jobs."""
    worker = installation.start_worker("--echo", DRAGOMAN_BATCH_ROWS="4")
    worker.wait_ready()
    installation.publish_raw("jobs.bulk", [job(source_text=f"Good morning, number {n}.") for n in range(3_000)])
    wait_until(lambda: installation.count() >= 10, "the worker is in the middle")
    return worker


def exit_seconds(worker: WorkerProcess) -> float:
    start = time.monotonic()
    assert worker.terminate() == 0
    return time.monotonic() - start


def healthy(stack: LocalStack) -> Callable[[], None]:
    return lambda: None


def kafka_frozen(stack: LocalStack) -> Callable[[], None]:
    stack.kafka.pause()
    return stack.kafka.resume


def kafka_dead(stack: LocalStack) -> Callable[[], None]:
    stack.kafka.kill()
    return stack.kafka.start


def postgres_frozen(stack: LocalStack) -> Callable[[], None]:
    stack.postgres.pause()
    return stack.postgres.resume


def postgres_dead(stack: LocalStack) -> Callable[[], None]:
    stack.postgres.kill()
    return stack.postgres.start


@pytest.mark.parametrize("fault", [healthy, kafka_frozen, kafka_dead, postgres_frozen, postgres_dead])
def test_a_worker_is_gone_in_time_and_nothing_is_lost_when_a_service_is_away(
    installation: Installation, own_stack: LocalStack, fault: Callable[[LocalStack], Callable[[], None]]
) -> None:
    worker = busy_worker(installation)
    heal = fault(own_stack)
    try:
        seconds = exit_seconds(worker)
    finally:
        heal()
    assert seconds <= EXIT_SECONDS
    successor = installation.start_worker("--echo")
    successor.wait_ready()
    wait_until(lambda: installation.count() == 3_000, "the next worker finishes")
    assert successor.terminate() == 0
    assert installation.count("SELECT count(*) FROM translation WHERE status = 'translated'") == 3_000


def test_a_second_signal_ends_a_worker_at_once_when_the_database_is_frozen(
    installation: Installation, own_stack: LocalStack
) -> None:
    worker = busy_worker(installation)
    own_stack.postgres.pause()
    try:
        worker.process.send_signal(signal.SIGTERM)
        wait_until(lambda: worker.events("draining"), "the worker is about to stop")
        start = time.monotonic()
        worker.process.send_signal(signal.SIGTERM)
        assert worker.process.wait(60) == 128 + signal.SIGTERM
        assert time.monotonic() - start < 1.0
    finally:
        own_stack.postgres.resume()
