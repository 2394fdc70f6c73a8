"""Answers that are published before they are recorded, and what of a no-trace job is recorded at all."""

from typing import Any
from uuid import UUID

import pytest
from dragoman.model.batching import BatchLimits
from dragoman.model.decoding import SearchOptions
from dragoman.producer.memory import MemoryPublisher
from dragoman.schemas.codec import decode_dead_letter, decode_result, encode
from dragoman.schemas.reasons import Reason
from dragoman.storage.records import OutboxEvent
from dragoman.worker import untraced
from dragoman.worker.admission import Admission
from dragoman.worker.devices.echo import EchoTranslator
from dragoman.worker.devices.served_models import ServedModels
from dragoman.worker.outcomes import Known, Refusal, recalled, refused
from dragoman.worker.privacy import Privacy
from dragoman.worker.untraced import publish_now
from dragoman.worker.work import Outcome

LIMITS = BatchLimits(4096, 256)
CANARY = "Zanzibarcanary"


def events(count: int) -> list[OutboxEvent]:
    return [OutboxEvent(UUID(int=n), UUID(int=n), "results", None, (("a", "b"),), b"x") for n in range(count)]


def test_nothing_is_left_when_kafka_has_everything() -> None:
    publisher = MemoryPublisher(buffer_messages=2)
    assert publish_now(publisher, events(5)) == []
    assert len(publisher.messages) == 5
    assert publish_now(publisher, []) == []


def test_all_is_left_when_kafka_refuses() -> None:
    publisher = MemoryPublisher()
    publisher.error = "no"
    assert publish_now(publisher, events(2)) == events(2)


def test_all_is_left_when_kafka_does_not_answer_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(untraced, "ACKNOWLEDGE_SECONDS", 0.1)
    publisher = MemoryPublisher()
    publisher.frozen = True
    assert publish_now(publisher, events(2)) == events(2)


def text_of_row(outcome: Outcome) -> str:
    assert outcome.row is not None
    assert outcome.is_untraced
    return f"{outcome.row}"


def test_no_text_is_in_the_row_of_a_recalled_no_trace_job(build: Any) -> None:
    job = build.job(CANARY, no_trace=True, metadata={CANARY: CANARY})
    outcome = recalled(build.identity, build.delivery(build.job_message(job)), job, Known(CANARY, "cache"))
    assert CANARY not in text_of_row(outcome)
    assert decode_result(outcome.events[0].payload).translation == CANARY
    assert decode_result(outcome.events[0].payload).metadata == {CANARY: CANARY}


def test_a_dead_letter_says_where_and_why_and_not_what_when_the_job_leaves_no_trace(build: Any) -> None:
    job = build.job(CANARY, no_trace=True)
    message = build.job_message(job, key=CANARY.encode(), headers=((CANARY, b"x"),))
    refusal = Refusal(Reason.DEADLINE_PASSED, "too late")
    outcome = refused(build.identity, build.delivery(message), job, refusal)
    letter = decode_dead_letter(outcome.events[1].payload)
    assert CANARY not in text_of_row(outcome)
    assert (letter.original_key, letter.original_value, letter.original_headers) == (None, None, ())
    assert (letter.truncated, letter.original_size_bytes) == (True, len(encode(job)))


@pytest.mark.parametrize(
    ("client", "asked", "expected"), [("someone", False, False), ("someone", True, True), ("discreet", False, True)]
)
def test_a_job_leaves_no_trace_when_it_or_its_client_wants_so(
    build: Any, client: str, asked: bool, expected: bool
) -> None:
    admission = Admission(
        build.identity, ServedModels([EchoTranslator()]), SearchOptions(), Privacy(frozenset({"discreet"}))
    )
    job = build.job(client_id=client, no_trace=asked)
    decoded: Any = admission.decode(build.delivery(build.job_message(job)))
    assert decoded.no_trace is expected
    broken = build.message(0, encode(job).replace(b'"en"', b"7"))
    outcome: Any = admission.decode(build.delivery(broken))
    assert outcome.is_untraced is expected
