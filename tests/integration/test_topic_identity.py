"""A topic that was deleted and made anew is not read until a person says so: its offsets mean something else."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import UUID

import pytest
from click.testing import CliRunner
from confluent_kafka.admin import AdminClient
from dragoman.cli.main import dragoman
from dragoman.compose.local import LocalStack
from dragoman.producer.topics import ensure_topics
from dragoman.settings import Settings
from dragoman.storage.migrate import upgrade
from dragoman.tests.acceptance.installation import Installation, WorkerProcess, wait_until
from dragoman.tests.acceptance.test_bad_input import job

pytestmark = [pytest.mark.services, pytest.mark.timeout(300)]


@pytest.fixture
def installation(stack: LocalStack, database_url: str, topic_prefix: str, tmp_path: Path) -> Iterator[Installation]:
    settings = Settings(
        kafka_bootstrap_servers=stack.kafka_bootstrap_servers, database_url=database_url, topic_prefix=topic_prefix
    )
    ensure_topics(settings)
    upgrade(database_url)
    with ExitStack() as resources:
        yield Installation(settings, tmp_path, resources)


def remake_topic(installation: Installation, topic: str) -> None:
    """Delete a topic and make it again under its name."""
    settings = installation.settings
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap_servers})
    name = settings.topic_prefix + topic
    admin.delete_topics([name])[name].result(30)
    wait_until(lambda: name not in admin.list_topics(timeout=10).topics, "the topic is gone")
    ensure_topics(settings)


def published(installation: Installation, count: int) -> None:
    installation.publish_raw("jobs.bulk", [job() for _ in range(count)])


def accept(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let the workers read the new topic; returns what the command says."""
    for variable, value in installation.environment.items():
        monkeypatch.setenv(variable, value)
    name = f"{installation.settings.topic_prefix}jobs.bulk"
    return CliRunner().invoke(dragoman, ["leases", "accept-topic", name, "--yes"], catch_exceptions=False).output


def refused(worker: WorkerProcess) -> bool:
    return len(worker.events("topic_made_anew")) == 8


def test_a_recreated_topic_is_refused_whatever_it_holds_and_read_when_it_was_accepted(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = installation.start_worker("--echo")
    first.wait_ready()
    published(installation, 3)
    wait_until(lambda: installation.count() == 3, "the jobs are recorded")
    assert first.terminate() == 0
    remake_topic(installation, "jobs.bulk")
    published(installation, 7)  # more than there were: the old offset lies within the new topic

    second = installation.start_worker("--echo")
    wait_until(lambda: refused(second), "the partitions are refused")
    wait_until(lambda: second.metric("dragoman_refused_partitions") == 8, "the gauge follows the log")
    assert second.readiness().startswith("8 partitions are not read")
    installation.publish_raw("jobs.interactive", [job()])
    wait_until(lambda: installation.count() == 4, "the other topic is read")

    assert accept(installation, monkeypatch).startswith("accepted for 8 partition(s)")
    wait_until(lambda: installation.count() == 11, "the new topic is read from its beginning")
    wait_until(lambda: second.readiness() == "ok", "nothing is refused any more")
    assert second.terminate() == 0
    listed = CliRunner().invoke(dragoman, ["leases", "list"], catch_exceptions=False).output
    assert f"{installation.settings.topic_prefix}jobs.bulk 0  next " in listed
    assert installation.count("SELECT count(*) FROM quarantine") == 0


@pytest.mark.parametrize("protocol", ["consumer", "classic"])
def test_a_topic_is_refused_when_it_is_recreated_under_a_running_worker(
    installation: Installation, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = installation.start_worker("--echo", DRAGOMAN_GROUP_PROTOCOL=protocol)
    worker.wait_ready()
    published(installation, 3)
    wait_until(lambda: installation.count() == 3, "the jobs are recorded")
    remake_topic(installation, "jobs.bulk")
    published(installation, 7)
    wait_until(lambda: worker.metric("dragoman_refused_partitions") > 0, "partitions are refused")
    # A client of the classic protocol may have read some seconds of the new topic, from the old place on.
    assert accept(installation, monkeypatch).startswith("accepted for 8 partition(s)")
    wait_until(lambda: installation.count() == 10, "every job of both topics is recorded")
    assert worker.terminate() == 0


def test_every_lease_knows_its_topic_when_it_was_taken(installation: Installation) -> None:
    worker = installation.start_worker("--echo")
    worker.wait_assigned(16)
    ids = {row[0] for row in installation.query("SELECT topic_id FROM ingest_lease")}
    assert len(ids) == 2
    assert all(isinstance(topic_id, UUID) for topic_id in ids)
    assert worker.terminate() == 0
