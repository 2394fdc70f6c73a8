"""What is recorded and published for each way a message can end."""

from typing import Any
from uuid import UUID, uuid4, uuid5

import pytest
from dragoman.model.translator import Translation
from dragoman.schemas.codec import decode_dead_letter, decode_result, encode
from dragoman.schemas.headers import job_headers
from dragoman.schemas.ids import new_job_id
from dragoman.schemas.reasons import Reason
from dragoman.schemas.results import ResultStatus
from dragoman.storage.records import BatchRow
from dragoman.worker.outcomes import Pass, Refusal, Salvage, refused, translated, undecodable
from dragoman.worker.work import Identity, Outcome

NOT_JSON = Refusal(Reason.NOT_JSON, "the message is not JSON")
NO_PAIR = Refusal(Reason.UNKNOWN_LANGUAGE_PAIR, "no model translates en-xx")
NOTHING = Salvage(None, None)
TRACEPARENT = ("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")


def translation_of(build: Any, message: Any, job: Any, identity: Identity | None = None) -> Outcome:
    batch = BatchRow(
        id=uuid4(),
        model_version_id="tiny@0",
        rows=1,
        source_pieces=6,
        padded_pieces=6,
        target_pieces=7,
        decode_seconds=0.1,
        device="cpu",
        worker_id="worker",
    )
    segment = build.segment(job=job, delivery=build.delivery(message))
    made_by = Pass(batch, segment.admitted_at, attempt=2)
    return translated(identity or build.identity, segment, Translation("Bonjour.", -0.5, 5, 7), made_by)


def test_row_and_result_say_the_same_when_a_job_is_translated(build: Any) -> None:
    job = build.job(metadata={"page": "4"})
    outcome = translation_of(build, build.job_message(job, 17), job)
    (event,) = outcome.events
    result, row = decode_result(event.payload), outcome.row
    assert row is not None
    assert (result.translation, result.score, result.model_version) == ("Bonjour.", -0.5, "tiny@0")
    assert (row.target_text, row.score, row.model_version_id) == ("Bonjour.", -0.5, "tiny@0")
    assert (row.job_id, row.metadata, row.attempt) == (result.job_id, result.metadata, result.attempt)
    assert (row.partition, row.kafka_offset, row.lease_epoch) == (("jobs.bulk", 0), 17, 1)
    assert row.batch_id == outcome.batch.id  # type: ignore[union-attr]


def test_the_result_of_a_translation_is_what_the_contract_itself_writes(build: Any) -> None:
    job = build.job(metadata={"page": "4"}, source_text='Él dijo: "sí"\n\\ 🎈')
    (event,) = translation_of(build, build.job_message(job, 17), job).events
    assert event.payload == encode(decode_result(event.payload))
    assert event.event_id == decode_result(event.payload).event_id == uuid5(job.job_id, "result")


def test_events_go_to_the_topics_of_this_installation(build: Any) -> None:
    job = build.job()
    identity = Identity("worker", "group", "ours.")
    outcome = refused(identity, build.delivery(build.job_message(job)), job, NO_PAIR)
    assert [event.topic for event in outcome.events] == ["ours.results", "ours.dead-letters"]


def test_a_redelivered_job_gets_the_same_event(build: Any) -> None:
    job = build.job()
    first, again = (translation_of(build, build.job_message(job), job) for _ in range(2))
    assert first.events[0].event_id == again.events[0].event_id
    assert first.events[0].key == str(job.job_id).encode()


def test_a_redelivered_message_gets_the_same_job_id_and_events_when_it_is_no_job(build: Any) -> None:
    first, again = (
        undecodable(build.identity, build.delivery(build.message(3, b"no")), NOTHING, NOT_JSON) for _ in range(2)
    )
    assert first.row.job_id == again.row.job_id  # type: ignore[union-attr]
    assert [event.event_id for event in first.events] == [event.event_id for event in again.events]


def test_messages_at_different_places_get_different_job_ids_when_they_are_no_jobs(build: Any) -> None:
    messages = [build.message(3), build.message(4), build.message(3, partition_number=1)]
    outcomes = [undecodable(build.identity, build.delivery(message), NOTHING, NOT_JSON) for message in messages]
    assert len({outcome.events[0].job_id for outcome in outcomes}) == 3


def test_the_job_id_is_kept_when_it_could_be_read(build: Any) -> None:
    job_id = new_job_id()
    outcome = undecodable(build.identity, build.delivery(build.message()), Salvage(job_id, "shop"), NOT_JSON)
    result = decode_result(outcome.events[0].payload)
    assert (result.job_id, result.client_id, result.status) == (job_id, "shop", ResultStatus.REJECTED)
    assert (outcome.row.job_id, outcome.row.client_id) == (job_id, "shop")  # type: ignore[union-attr]


def test_a_dead_letter_holds_the_original_message_and_where_it_was(build: Any) -> None:
    raw = b"\xff\x00 not a job"
    message = build.message(9, raw, key=b"\x00key", headers=(("h", b"\xfe"), ("empty", None)), partition_number=5)
    outcome = undecodable(build.identity, build.delivery(message), NOTHING, NOT_JSON)
    letter = decode_dead_letter(outcome.events[1].payload)
    assert (letter.topic, letter.partition, letter.offset) == ("jobs.bulk", 5, 9)
    assert (letter.original_value, letter.original_key) == (raw, b"\x00key")
    assert letter.original_headers == (("h", b"\xfe"), ("empty", None))
    assert (letter.reason, letter.detail) == ("not_json", "the message is not JSON")


def test_a_rejected_job_gets_a_row_a_result_and_a_dead_letter(build: Any) -> None:
    job = build.job(lane="bulk")
    outcome = refused(build.identity, build.delivery(build.job_message(job)), job, NO_PAIR)
    result, letter = decode_result(outcome.events[0].payload), decode_dead_letter(outcome.events[1].payload)
    row = outcome.row
    assert row is not None
    assert row.job_id == result.job_id == letter.job_id == job.job_id
    assert (row.status, row.reason, row.lane, row.source_text) == ("rejected", NO_PAIR.reason, "bulk", "Hello.")
    assert (result.status, result.reason, result.translation) == (ResultStatus.REJECTED, NO_PAIR.reason, None)
    assert (letter.reason, letter.attempt) == (NO_PAIR.reason, 1)


def test_attempts_and_model_are_told_when_the_model_failed_on_a_job(build: Any) -> None:
    job = build.job()
    failure = Refusal(Reason.TRANSLATION_FAILED, "it failed", ResultStatus.FAILED, 4, "tiny@0")
    outcome = refused(build.identity, build.delivery(build.job_message(job)), job, failure)
    result, letter = decode_result(outcome.events[0].payload), decode_dead_letter(outcome.events[1].payload)
    assert (result.status, result.attempt, result.model_version) == (ResultStatus.FAILED, 4, "tiny@0")
    assert (outcome.row.status, outcome.row.attempt, letter.attempt) == ("failed", 4, 4)  # type: ignore[union-attr]


def test_the_trace_of_a_job_is_continued_in_its_result(build: Any) -> None:
    job = build.job()
    message = build.job_message(job, headers=(*job_headers(job), TRACEPARENT, ("tracestate", b"vendor=1")))
    headers = dict(translation_of(build, message, job).events[0].headers)
    assert headers["traceparent"] == TRACEPARENT[1].decode()
    assert headers["tracestate"] == "vendor=1"
    assert UUID(headers["ce_id"]) != job.job_id


@pytest.mark.parametrize("value", [b"\x00", b"caf\xc3\xa9", b"\xff", b"two\nlines", b"\xed\xa0\x80"])
def test_a_trace_header_is_left_out_when_it_is_not_printable_ascii(build: Any, value: bytes) -> None:
    job = build.job()
    message = build.job_message(job, headers=(TRACEPARENT, ("tracestate", value)))
    headers = dict(translation_of(build, message, job).events[0].headers)
    assert "tracestate" not in headers
    assert "traceparent" in headers
