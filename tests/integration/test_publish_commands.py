"""`dragoman submit`, `publish` and `topics` as a person runs them, against a real broker."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from dragoman.cli.main import dragoman
from dragoman.compose.local import LocalStack
from dragoman.producer.kafka import KafkaTail
from dragoman.producer.topics import ensure_topics
from dragoman.schemas.codec import decode_job
from dragoman.schemas.jobs import TranslationJob
from dragoman.settings import Settings

pytestmark = pytest.mark.services

PAIR = ("-s", "en", "-t", "fr")


@pytest.fixture
def settings(stack: LocalStack, topic_prefix: str) -> Settings:
    return Settings(kafka_bootstrap_servers=stack.kafka_bootstrap_servers, topic_prefix=topic_prefix)


@pytest.fixture
def topics(settings: Settings) -> list[str]:
    return ensure_topics(settings)


def environment(settings: Settings) -> dict[str, str]:
    return {
        "DRAGOMAN_KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
        "DRAGOMAN_TOPIC_PREFIX": settings.topic_prefix,
    }


def command(settings: Settings, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "dragoman", *arguments],
        env=os.environ | environment(settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(settings: Settings, *arguments: str) -> Result:
    """Run a command in this process; what it refuses is the result's exception."""
    return CliRunner().invoke(dragoman, arguments, env=environment(settings))


def read_jobs(settings: Settings, topic: str, texts: set[str]) -> list[TranslationJob]:
    """Read jobs from the beginning until each text was seen; the test times out when one is missing."""
    jobs: list[TranslationJob] = []
    with KafkaTail(settings, settings.topic_prefix + topic, start="beginning") as tail:
        while texts:
            arrived = [decode_job(message.value) for message in tail.poll(30.0)]
            texts = texts - {job.source_text for job in arrived}
            jobs += arrived
        return jobs + [decode_job(message.value) for message in tail.poll(0.5)]


def test_job_is_on_the_broker_when_submit_prints_its_id(settings: Settings, topics: list[str]) -> None:
    submitted = run(settings, "submit", "Where is the station?", *PAIR, "--json")

    jobs = read_jobs(settings, "jobs.interactive", {"Where is the station?"})
    assert (submitted.exit_code, submitted.stderr) == (0, "")
    assert json.loads(submitted.stdout) == {"job_id": str(jobs[0].job_id)}


def test_submit_says_what_to_do_when_no_worker_answers(settings: Settings, topics: list[str]) -> None:
    submitted = run(settings, "submit", "Hello.", *PAIR, "--wait", "--timeout", "0.2")

    assert str(submitted.exception).startswith("no result within 0.2 s")


def test_submit_says_what_to_do_when_the_topics_are_missing(settings: Settings) -> None:
    with command(settings, "submit", "Hello.", *PAIR) as process:
        out, err = process.communicate()

    assert (process.returncode, out) == (1, "")
    assert (
        err == f"dragoman: topic {settings.topic_prefix}jobs.interactive does not exist: run `dragoman topics create`\n"
    )


def test_topics_are_listed_as_missing_then_created_then_found(settings: Settings) -> None:
    before, created, after = (run(settings, "topics", verb).stdout for verb in ("list", "create", "list"))

    assert [before.count("missing"), created.count("created "), after.count("missing")] == [4, 4, 0]


def test_publish_ends_with_a_count_and_is_readable_in_a_log(
    settings: Settings, topics: list[str], tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("One.\n\nTwo.\n")
    published = run(settings, "publish", str(tmp_path / "a.txt"), *PAIR)

    assert (published.exit_code, published.stderr) == (0, "")
    assert published.stdout == "publishing a.txt\nsegments published: 2; blank lines skipped: 1\n"


def test_publish_asks_for_no_trace_of_a_whole_file(settings: Settings, topics: list[str], tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("One.\nTwo.\n")
    published = run(settings, "publish", str(tmp_path / "a.txt"), *PAIR, "--no-trace")

    assert published.exit_code == 0
    assert {job.no_trace for job in read_jobs(settings, "jobs.bulk", {"One.", "Two."})} == {True}


def test_publish_names_bad_lines_and_fails_when_there_are_some(
    settings: Settings, topics: list[str], tmp_path: Path
) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "One."}\nTwo.\n')
    published = run(settings, "publish", str(tmp_path / "a.jsonl"), *PAIR)

    assert published.stderr.startswith("line 2: the line is not JSON")
    assert str(published.exception).startswith("bad lines, not published: 1;")


def test_no_segment_becomes_two_jobs_when_publish_is_killed_and_run_again(
    settings: Settings, topics: list[str], tmp_path: Path
) -> None:
    texts = [f"Sentence number {number}." for number in range(12_000)]
    path = tmp_path / "segments.txt"
    path.write_text("\n".join(texts) + "\n")
    with (
        KafkaTail(settings, settings.topic_prefix + "jobs.bulk") as tail,
        command(settings, "publish", str(path), *PAIR) as killed,
    ):
        assert tail.poll(60.0), "nothing was published"
        killed.send_signal(signal.SIGKILL)

    resumed = run(settings, "publish", str(path), *PAIR)

    jobs = read_jobs(settings, "jobs.bulk", set(texts))
    assert (killed.returncode, resumed.exit_code) == (-signal.SIGKILL, 0)
    assert len({job.job_id for job in jobs}) == len({job.source_text for job in jobs}) == len(texts)
    assert len(jobs) > len(texts), "the kill came too late to prove anything"
