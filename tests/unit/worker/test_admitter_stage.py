"""The stage between polling and batching, as far as it needs no database."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from dragoman.model.decoding import SearchOptions
from dragoman.storage.engine import create_database_engine
from dragoman.worker.admission import Admission
from dragoman.worker.admitter import Admitter, DeadLetterFuseError
from dragoman.worker.devices.echo import EchoTranslator
from dragoman.worker.devices.served_models import ServedModels
from dragoman.worker.pipeline import Pipeline
from dragoman.worker.scheduling.pool import Pool

FUSE = 5
LATE = datetime.now(UTC) - timedelta(hours=1)


@pytest.fixture
def pipeline(build: Any) -> Pipeline:
    pipeline: Pipeline = build.pipeline()
    return pipeline


@pytest.fixture
def admitter(build: Any, pipeline: Pipeline) -> Admitter:
    nowhere = create_database_engine("postgresql://nobody@127.0.0.1:1/none")
    return Admitter(
        pipeline, Admission(build.identity, ServedModels([EchoTranslator()]), SearchOptions()), nowhere, FUSE
    )


def admit(pipeline: Pipeline, admitter: Admitter, *messages: Any) -> None:
    pipeline.inbox.put([delivery for message in messages if (delivery := pipeline.assignments.receive(message))])
    admitter.work()


def test_rejected_messages_go_straight_to_the_settler(build: Any, pipeline: Pipeline, admitter: Admitter) -> None:
    admit(pipeline, admitter, build.message(0, b"no"), build.message(1, None))
    assert [outcome.delivery.message.offset for outcome in pipeline.finished.bulk.gather(1, 0.0)] == [0, 1]
    assert len(pipeline.waiting_room) == 0


def test_what_was_polled_meanwhile_is_admitted_together(build: Any, pipeline: Pipeline, admitter: Admitter) -> None:
    first = pipeline.assignments.receive(build.message(0, b"no"))
    pipeline.inbox.put([first] if first else [])
    admit(pipeline, admitter, build.message(1, None))
    assert [outcome.delivery.message.offset for outcome in pipeline.finished.bulk.gather(1, 0.0)] == [0, 1]


def test_deliveries_are_given_back_when_their_partition_is_being_revoked(
    build: Any, pipeline: Pipeline, admitter: Admitter
) -> None:
    deliveries = [pipeline.assignments.receive(build.job_message(build.job()))]
    pipeline.assignments.revoke([build.partition()])
    pipeline.inbox.put([delivery for delivery in deliveries if delivery])
    admitter.work()
    assert pipeline.assignments.wait_idle([build.partition()], 0)
    assert pipeline.finished.bulk.empty()


def test_the_fuse_blows_when_so_many_messages_in_a_row_are_rejected(
    build: Any, pipeline: Pipeline, admitter: Admitter
) -> None:
    admit(pipeline, admitter, *[build.message(offset, b"no") for offset in range(FUSE - 1)])
    with pytest.raises(DeadLetterFuseError, match="5 messages in a row"):
        admit(pipeline, admitter, build.message(FUSE, b"no"))


def test_nothing_of_the_round_is_recorded_when_the_fuse_blows(
    build: Any, pipeline: Pipeline, admitter: Admitter
) -> None:
    with pytest.raises(DeadLetterFuseError):
        admit(pipeline, admitter, *[build.message(offset, b"no") for offset in range(FUSE)])
    assert pipeline.finished.bulk.empty()


def test_the_fuse_holds_when_jobs_are_only_too_late(build: Any, pipeline: Pipeline, admitter: Admitter) -> None:
    late = [build.job_message(build.job(deadline=LATE), offset) for offset in range(2 * FUSE)]
    admit(pipeline, admitter, *late)
    assert len(pipeline.finished.bulk.gather(1, 0.0)) == 2 * FUSE


def test_a_job_that_expires_while_it_waits_is_refused_without_the_model(
    build: Any, pipeline: Pipeline, admitter: Admitter
) -> None:
    job = build.job(deadline=datetime.now(UTC) + timedelta(hours=1))
    delivery = build.delivery(build.job_message(job), pipeline.assignments)
    came = build.segment(delivery=delivery, job=job)._replace(admitted_at=datetime.now(UTC) + timedelta(hours=2))
    pipeline.waiting_room.add([(Pool("en", "fr", "echo@0", 4, 1.0), came)])
    pipeline.inbox.put([])
    admitter.work()
    (outcome,) = pipeline.finished.bulk.gather(1, 0.0)
    assert outcome.row is not None
    assert (outcome.row.status, outcome.row.reason) == ("rejected", "deadline_passed")
    assert len(pipeline.waiting_room) == 0


def test_an_admitter_that_waits_for_the_database_is_not_stuck(
    build: Any, pipeline: Pipeline, admitter: Admitter, monkeypatch: pytest.MonkeyPatch
) -> None:
    beats: list[float] = []

    def pause(_: float) -> None:
        beats.append(admitter.last_beat_seconds)
        admitter.last_beat_seconds = 0.0
        if len(beats) == 3:
            admitter._stopped.set()

    monkeypatch.setattr(admitter, "pause", pause)
    admit(pipeline, admitter, build.job_message(build.job()))
    assert len(beats) == 3
    assert min(beats) > 0.0
    assert pipeline.assignments.wait_idle([build.partition()], 0)
