"""What a worker does with partitions that it gets from others: suspects, gaps, partitions that are new."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions
from dragoman.compose.local import LocalStack
from dragoman.producer.topics import ensure_topics
from dragoman.settings import Settings
from dragoman.storage.migrate import upgrade
from dragoman.tests.acceptance.installation import Installation, WorkerProcess, wait_until
from dragoman.tests.acceptance.test_bad_input import job

pytestmark = [pytest.mark.services, pytest.mark.timeout(400)]

STALLED = "SELECT max(stalled_acquisitions) FROM ingest_lease"


@pytest.fixture
def installation(stack: LocalStack, database_url: str, topic_prefix: str, tmp_path: Path) -> Iterator[Installation]:
    settings = Settings(
        kafka_bootstrap_servers=stack.kafka_bootstrap_servers, database_url=database_url, topic_prefix=topic_prefix
    )
    ensure_topics(settings)
    upgrade(database_url)
    with ExitStack() as resources:
        yield Installation(settings, tmp_path, resources)


def admin(installation: Installation) -> AdminClient:
    return AdminClient({"bootstrap.servers": installation.settings.kafka_bootstrap_servers})


def bulk(installation: Installation) -> str:
    return f"{installation.settings.topic_prefix}jobs.bulk"


def with_both_lanes(installation: Installation) -> WorkerProcess:
    """A worker that holds every partition."""
    worker = installation.start_worker("--echo")
    worker.wait_assigned(16)
    return worker


def test_acquisitions_are_counted_when_owners_are_killed_and_not_when_they_leave(installation: Installation) -> None:
    for expected in (0, 1, 2):
        worker = with_both_lanes(installation)
        assert installation.count(STALLED) == expected
        worker.kill()
    worker = with_both_lanes(installation)
    assert installation.count(STALLED) == 3
    assert worker.terminate() == 0
    assert installation.count(STALLED) == 2  # itself no more; those before it still


def test_a_gap_is_written_down_when_retention_removed_messages_before_they_were_read(
    installation: Installation,
) -> None:
    worker = installation.start_worker("--echo")
    worker.wait_ready()
    installation.publish_raw("jobs.bulk", [job() for _ in range(2)])
    wait_until(lambda: installation.count() == 2, "the jobs are recorded")
    assert worker.terminate() == 0
    ((number, next_offset),) = installation.query(
        "SELECT partition, next_offset FROM ingest_lease WHERE next_offset > 0"
    )
    installation.publish_raw("jobs.bulk", [job() for _ in range(4)])
    place = TopicPartition(bulk(installation), int(str(number)), 5)
    client = admin(installation)  # its answers come as long as it lives
    client.delete_records([place])[place].result(30)

    successor = installation.start_worker("--echo")
    wait_until(lambda: installation.count() == 3, "what is left is recorded")
    gaps = installation.query("SELECT partition, first_offset, last_offset, reason FROM quarantine")
    assert gaps == [(number, next_offset, 4, "expired")]
    assert len(successor.events("messages_expired")) == 1
    assert successor.terminate() == 0


def test_partitions_that_are_added_while_a_worker_runs_are_read_from_their_beginning(
    installation: Installation,
) -> None:
    worker = installation.start_worker("--echo")
    worker.wait_ready()
    name, client = bulk(installation), admin(installation)
    client.create_partitions([NewPartitions(name, 16)])[name].result(30)
    installation.publish_raw("jobs.bulk", [job() for _ in range(3)])
    wait_until(lambda: worker.metric("dragoman_assigned_partitions") == 24, "the new partitions are assigned")
    wait_until(lambda: installation.count() == 3, "the jobs are recorded")
    assert installation.count("SELECT count(*) FROM quarantine") == 0
    assert worker.terminate() == 0
