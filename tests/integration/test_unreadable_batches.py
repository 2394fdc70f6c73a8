"""Batches that no client can read stop their partition for seconds, and nothing else."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from confluent_kafka import Producer
from dragoman.compose.local import LocalStack
from dragoman.producer.topics import ensure_topics
from dragoman.settings import Settings
from dragoman.storage.migrate import upgrade
from dragoman.tests.acceptance.installation import Installation, WorkerProcess, wait_until
from dragoman.tests.acceptance.test_bad_input import job

pytestmark = [pytest.mark.services, pytest.mark.timeout(400)]

BOMB_BYTES = 100_000_000
# What a bomb may hold up its partition.
STALL_SECONDS = 10.0
QUARANTINED = "SELECT first_offset, last_offset, reason FROM quarantine WHERE topic LIKE '%jobs.bulk' ORDER BY 1"


@pytest.fixture(scope="module")
def own_stack() -> Iterator[LocalStack]:
    """Services of our own: the broker is stopped and its files are damaged."""
    with LocalStack() as stack:
        yield stack


@pytest.fixture
def installation(own_stack: LocalStack, topic_prefix: str, tmp_path: Path) -> Iterator[Installation]:
    with ExitStack() as resources:
        settings = Settings(
            kafka_bootstrap_servers=own_stack.kafka_bootstrap_servers,
            database_url=own_stack.database_url,
            topic_prefix=topic_prefix,
        )
        ensure_topics(settings)
        upgrade(own_stack.database_url)
        installation = Installation(settings, tmp_path, resources)
        with installation.engine.begin() as connection:
            connection.exec_driver_sql("TRUNCATE translation, batch, outbox, quarantine, ingest_lease")
        yield installation


def publish(installation: Installation, compression: str, values: list[bytes], partition: int = 0) -> None:
    """Publish one batch to a partition of the bulk topic."""
    producer = Producer(
        {
            "bootstrap.servers": installation.settings.kafka_bootstrap_servers,
            "compression.type": compression,
            "message.max.bytes": BOMB_BYTES + 1_000_000,
            "linger.ms": 100,
        }
    )
    errors: list[object] = []
    for value in values:
        topic = f"{installation.settings.topic_prefix}jobs.bulk"
        producer.produce(topic, value, partition=partition, on_delivery=lambda error, _: errors.append(error))
    assert producer.flush(60) == 0
    assert errors == [None] * len(values)


def done(installation: Installation, count: int) -> Callable[[], bool]:
    statement = "SELECT count(*) FROM translation WHERE status = 'translated'"
    return lambda: installation.count(statement) == count


def start(installation: Installation) -> WorkerProcess:
    worker = installation.start_worker("--echo")
    worker.wait_ready()
    return worker


def test_a_bomb_of_3_kb_is_quarantined_and_its_partition_goes_on_after_seconds(installation: Installation) -> None:
    worker = start(installation)
    publish(installation, "none", [job()])
    wait_until(done(installation, 1), "the first job is done")
    publish(installation, "zstd", [bytes(BOMB_BYTES)])
    publish(installation, "none", [job()])
    publish(installation, "none", [job()], partition=1)
    began = time.monotonic()
    wait_until(lambda: installation.count("SELECT count(*) FROM translation WHERE kafka_partition = 1"), "others go on")
    assert time.monotonic() - began < 2.0
    wait_until(done(installation, 3), "the job behind the bomb is done")
    assert time.monotonic() - began < STALL_SECONDS
    assert installation.query(QUARANTINED) == [(1, 1, "too_large")]
    wait_until(lambda: worker.metric("dragoman_in_flight_jobs") == 0, "nothing is in flight any more")
    assert worker.terminate() == 0


def test_neighbours_in_the_batch_of_a_bomb_are_translated(installation: Installation) -> None:
    worker = start(installation)
    publish(installation, "zstd", [job(), bytes(BOMB_BYTES // 2), job()])
    wait_until(done(installation, 2), "the neighbours are done")
    assert installation.query(QUARANTINED) == [(1, 1, "too_large")]
    assert worker.terminate() == 0


@pytest.mark.parametrize("compression", ["gzip", "lz4"])
def test_bombs_that_can_be_unfolded_are_rejected_one_by_one(installation: Installation, compression: str) -> None:
    worker = start(installation)
    before_bytes = worker.metric("dragoman_rss_bytes")
    for _ in range(5):
        publish(installation, compression, [bytes(BOMB_BYTES)])
    publish(installation, "none", [job()])
    wait_until(done(installation, 1), "the job behind the bombs is done")
    rejected = "SELECT count(*) FROM translation WHERE reason = 'message_too_large'"
    wait_until(lambda: installation.count(rejected) == 5, "each bomb has its row")
    assert worker.metric("dragoman_rss_bytes") - before_bytes < 8 * BOMB_BYTES
    assert worker.terminate() == 0


def damage(stack: LocalStack, topic: str, offset_in_file: Callable[[bytes], int]) -> None:
    """Flip a byte in the segment file of partition 0 while the broker is down."""
    stack.kafka.stop()
    (segment,) = stack.data_dir.glob(f"kafka/data/{topic}-0/*.log")
    content = bytearray(segment.read_bytes())
    content[offset_in_file(bytes(content))] ^= 0xFF
    segment.write_bytes(content)
    stack.kafka.start()


def test_a_damaged_batch_is_quarantined_and_its_neighbours_are_translated(
    installation: Installation, own_stack: LocalStack
) -> None:
    publish(installation, "none", [job()])
    publish(installation, "none", [job(source_text="damaged"), job(), job()])
    publish(installation, "none", [job()])
    damage(own_stack, f"{installation.settings.topic_prefix}jobs.bulk", lambda content: content.index(b"damaged"))
    worker = start(installation)
    wait_until(done(installation, 2), "the batches before and behind are done")
    assert installation.query(QUARANTINED) == [(1, 3, "unreadable")]
    assert worker.terminate() == 0
