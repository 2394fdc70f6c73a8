"""Every job ends once: one history row and one result event, whatever happens to the workers."""

from uuid import UUID

import pytest
from dragoman.producer.producer import TranslationProducer
from dragoman.producer.replies import ResultReader
from dragoman.schemas.jobs import TranslationJob
from dragoman.schemas.results import TranslationResult
from dragoman.tests.acceptance.installation import Installation, wait_until

pytestmark = [pytest.mark.services, pytest.mark.timeout(400)]

SENTENCES = [
    "I have a {} for you.",
    "Where is my {}?",
    "The {} is on the table in the kitchen.",
    "She does not want to sell her old {}, because it was a present from her father.",
]
THINGS = ["book", "car", "dog", "letter", "clock", "chair", "hat", "key", "map", "ring"]

# A worker that is to be met in the middle of its work, on any machine.
SLOW = {"DRAGOMAN_BEAM_SIZE": "16"}


def sentences(count: int) -> list[str]:
    """So many English sentences of varied length."""
    return [f"{number}. {SENTENCES[number % 4].format(THINGS[number % 10])}" for number in range(count)]


def submit(installation: Installation, count: int) -> set[UUID]:
    with TranslationProducer(installation.settings) as producer:
        return set(producer.submit_many(sentences(count), source="en", target="fr"))


def results_of(installation: Installation, jobs: set[UUID]) -> dict[UUID, list[TranslationResult]]:
    """All result events on the topic, by event id, once every job has one and the outbox is empty."""
    outbox = "SELECT count(*) FROM outbox"
    wait_until(lambda: installation.count(outbox) == 0, "the outbox is empty")
    events: dict[UUID, list[TranslationResult]] = {}
    with ResultReader(installation.settings, start="beginning") as reader:

        def all_seen() -> bool:
            for result in reader.poll(0.5):
                events.setdefault(result.event_id, []).append(result)
            return jobs <= {copies[0].job_id for copies in events.values()}

        wait_until(all_seen, "every job has a result")
        for result in reader.poll(1.0):
            events.setdefault(result.event_id, []).append(result)
    return events


def test_2000_jobs_have_2000_rows_and_2000_equal_results_when_a_worker_is_killed(installation: Installation) -> None:
    first = installation.start_worker(**SLOW)
    first.wait_ready()
    jobs = submit(installation, 2000)
    wait_until(lambda: installation.count() >= 200, "the first worker is in the middle")
    first.kill()
    recorded_by_first = installation.count()
    assert 200 <= recorded_by_first < 2000, "the kill came too late to prove anything"

    second = installation.start_worker()
    wait_until(lambda: installation.count() >= 2000, "the second worker finishes")
    events = results_of(installation, jobs)
    rows: dict[object, object] = dict(installation.query("SELECT job_id, target_text FROM translation"))

    assert rows.keys() == jobs
    assert len(events) == 2000
    assert {copies[0].job_id: copies[0].translation for copies in events.values()} == rows
    assert all(copy == copies[0] for copies in events.values() for copy in copies)
    assert installation.count("SELECT count(DISTINCT worker_id) FROM translation") == 2
    assert second.terminate() == 0


def test_the_successor_finishes_the_rest_when_a_worker_is_terminated(installation: Installation) -> None:
    first = installation.start_worker(**SLOW)
    first.wait_ready()
    jobs = submit(installation, 600)
    wait_until(lambda: installation.count() >= 50, "the first worker is in the middle")
    assert first.terminate() == 0
    assert first.events("drained")[0]["left_in_flight"] == 0
    assert installation.count() < 600, "the signal came too late to prove anything"

    installation.start_worker()
    events = results_of(installation, jobs)

    assert installation.count() == len(events) == 600
    assert {len(copies) for copies in events.values()} == {1}


def test_a_job_is_translated_once_when_it_is_published_again(installation: Installation) -> None:
    worker = installation.start_worker()
    worker.wait_ready()
    jobs = [
        TranslationJob(client_id="acceptance", source_text=text, source_language="en", target_language="fr")
        for text in sentences(40)
    ]
    with TranslationProducer(installation.settings) as producer:
        ids = {producer.submit_job(job) for job in jobs}
    wait_until(lambda: installation.count() == 40, "the jobs are recorded")
    batches = installation.query("SELECT id FROM batch ORDER BY id")
    with TranslationProducer(installation.settings) as producer:
        ids |= {producer.submit_job(job) for job in jobs}
    wait_until(lambda: worker.metric("dragoman_redelivered_total") == 40, "the second copies are polled")
    wait_until(lambda: worker.metric("dragoman_in_flight_jobs") == 0, "the second copies are finished")

    assert len(ids) == installation.count() == 40
    assert installation.query("SELECT id FROM batch ORDER BY id") == batches
    assert len(results_of(installation, ids)) == 40
