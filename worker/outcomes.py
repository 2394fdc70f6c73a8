"""Builds what is recorded and published for each way a message can end. Pure.

Every job gets one history row and one result event; a rejected message also one dead letter. Event ids follow from
the job id, so a redelivery builds the same events.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from ..model.translation import Translation
from ..schemas import headers, ids, topics
from ..schemas.codec import encode, encode_sound_result
from ..schemas.dead_letters import OriginalMessage, Rejection, bury, without_content
from ..schemas.jobs import TranslationJob, TranslationOptions
from ..schemas.results import ResultStatus, TranslationResult
from ..storage.records import NOTHING, AnsweredBy, BatchRow, HistoryRow, OutboxEvent
from .assignments import Delivery
from .work import Identity, Outcome, Segment


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass of the model over a batch; `cached` = for another segment with the same pieces.

    `is_complete` = the batch's row is final: nothing more comes of it.
    """

    batch: BatchRow
    started_at: datetime
    attempt: int
    cached: bool = False
    finished_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    is_complete: bool = True


def translated(identity: Identity, segment: Segment, translation: Translation, made_by: Pass) -> Outcome:
    """The job has a translation."""
    delivery, job = segment.delivery, segment.job
    batch, message = made_by.batch, delivery.message
    result_id = ids.event_id(job.job_id, ids.RESULT_EVENT)
    answer = _Answer(job.job_id, str(job.job_id), result_id, str(result_id), made_by.finished_at)
    # By place, because every job makes one: by name it takes three times as long.
    row = HistoryRow(
        job.job_id,
        job.client_id,
        job.lane,
        job.source_language,
        job.target_language,
        job.source_text,
        "translated",
        job.submitted_at,
        segment.admitted_at,
        message.topic,
        message.partition_number,
        message.offset,
        delivery.assignment.epoch,
        identity.worker_id,
        translation.text,
        None,  # reason
        None,  # detail
        translation.score,
        batch.model_version_id,
        translation.source_pieces,
        translation.target_pieces,
        _options(job.options.beam_size, job.options.length_penalty),
        job.metadata,
        made_by.attempt,
        made_by.started_at,
        batch.id,
        "twin" if made_by.cached else "model",
    )
    if job.no_trace:
        row = _without_texts(row)
    event = _result_event(identity, delivery, answer, _translated_payload(segment, translation, made_by, answer))
    return Outcome(delivery, row, (event,), batch if made_by.is_complete else None)


def _translated_payload(segment: Segment, translation: Translation, made_by: Pass, answer: "_Answer") -> bytes:
    job = segment.job
    return encode_sound_result(
        {
            "schema_version": 1,
            "job_id": answer.job_text,
            "event_id": answer.event_text,
            "client_id": job.client_id,
            "status": "translated",
            "source_language": job.source_language,
            "target_language": job.target_language,
            "translation": translation.text,
            "score": translation.score,
            "reason": None,
            "detail": None,
            "model_version": made_by.batch.model_version_id,
            "source_pieces": translation.source_pieces,
            "target_pieces": translation.target_pieces,
            "attempt": made_by.attempt,
            "cached": made_by.cached,
            "submitted_at": job.submitted_at,
            "admitted_at": segment.admitted_at,
            "finished_at": made_by.finished_at,
            "metadata": job.metadata,
        }
    )


@dataclass(frozen=True, slots=True)
class Known:
    """A translation that was there before the job; a correction has no model, score and pieces, but an id."""

    text: str
    answered_by: AnsweredBy
    model_version: str | None = None
    score: float | None = None
    source_pieces: int | None = None
    target_pieces: int | None = None
    correction_id: UUID | None = None


def recalled(identity: Identity, delivery: Delivery, job: TranslationJob, known: Known) -> Outcome:
    """The job needs no model: its row has no batch and no start."""
    made = {
        "model_version": known.model_version,
        "score": known.score,
        "source_pieces": known.source_pieces,
        "target_pieces": known.target_pieces,
    }
    result = TranslationResult(
        **_answer(job),
        **made,
        status=ResultStatus.TRANSLATED,
        translation=known.text,
        cached=True,
        admitted_at=delivery.received_at,
        finished_at=datetime.now(UTC),
    )
    row = HistoryRow(
        **_row(identity, delivery),
        **_job_columns(job),
        target_text=known.text,
        status="translated",
        score=known.score,
        model_version_id=known.model_version,
        source_pieces=known.source_pieces,
        target_pieces=known.target_pieces,
        admitted_at=delivery.received_at,
        answered_by=known.answered_by,
        correction_id=known.correction_id,
    )
    if job.no_trace:
        row = _without_texts(row)
    return Outcome(delivery, row, (_result_event(identity, delivery, _answer_of(result), encode(result)),))


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a message gets no translation; `detail` is a sentence without user text."""

    reason: str
    detail: str
    status: ResultStatus = ResultStatus.REJECTED
    attempt: int = 1
    model_version: str | None = None


def refused(identity: Identity, delivery: Delivery, job: TranslationJob, refusal: Refusal) -> Outcome:
    """A well-formed job that this worker rejects, or that the model failed on."""
    result = TranslationResult(**_answer(job), **_refusal_fields(refusal), finished_at=datetime.now(UTC))
    row = HistoryRow(**_row(identity, delivery), **_job_columns(job), **_refusal_columns(refusal, delivery))
    if job.no_trace:
        row = _without_texts(row)
    return Outcome(delivery, row, _refusal_events(identity, delivery, result, refusal, no_trace=job.no_trace))


@dataclass(frozen=True, slots=True)
class Salvage:
    """What could still be read of a message that is no job."""

    job_id: UUID | None
    client_id: str | None
    no_trace: bool = False


def undecodable(identity: Identity, delivery: Delivery, salvage: Salvage, refusal: Refusal) -> Outcome:
    """A message that is not a job at all."""
    message = delivery.message
    job_id = salvage.job_id or ids.derived_id(
        message.sent_at, message.topic, str(message.partition_number), str(message.offset)
    )
    result = TranslationResult(
        job_id=job_id, client_id=salvage.client_id, **_refusal_fields(refusal), finished_at=datetime.now(UTC)
    )
    row = HistoryRow(
        **_row(identity, delivery),
        **_refusal_columns(refusal, delivery),
        job_id=job_id,
        client_id=salvage.client_id,
        lane=None,
        source_language=None,
        target_language=None,
        source_text=None,
        submitted_at=message.sent_at,
        no_trace=salvage.no_trace,
    )
    return Outcome(delivery, row, _refusal_events(identity, delivery, result, refusal, no_trace=salvage.no_trace))


def _answer(job: TranslationJob) -> dict[str, Any]:
    return {
        "job_id": job.job_id,
        "client_id": job.client_id,
        "source_language": job.source_language,
        "target_language": job.target_language,
        "submitted_at": job.submitted_at,
        "metadata": job.metadata,
    }


def _job_columns(job: TranslationJob) -> dict[str, Any]:
    return {
        **_answer(job),
        "lane": job.lane,
        "source_text": job.source_text,
        "options": _options(job.options.beam_size, job.options.length_penalty),
    }


def _row(identity: Identity, delivery: Delivery) -> dict[str, Any]:
    topic, partition = delivery.message.partition
    return {
        "kafka_topic": topic,
        "kafka_partition": partition,
        "kafka_offset": delivery.message.offset,
        "lease_epoch": delivery.assignment.epoch,
        "worker_id": identity.worker_id,
    }


def _refusal_columns(refusal: Refusal, delivery: Delivery) -> dict[str, Any]:
    return {
        "status": refusal.status.value,
        "reason": str(refusal.reason),
        "detail": refusal.detail,
        "attempt": refusal.attempt,
        "model_version_id": refusal.model_version,
        "admitted_at": delivery.received_at,
    }


def _refusal_fields(refusal: Refusal) -> dict[str, Any]:
    return {
        "status": refusal.status,
        "reason": str(refusal.reason),
        "detail": refusal.detail,
        "attempt": refusal.attempt,
        "model_version": refusal.model_version,
    }


def _without_texts(row: HistoryRow) -> HistoryRow:
    """The row of a no-trace job; metadata are the client's words too."""
    return row._replace(source_text=None, target_text=None, metadata=NOTHING, no_trace=True)


def _refusal_events(
    identity: Identity, delivery: Delivery, result: TranslationResult, refusal: Refusal, *, no_trace: bool
) -> tuple[OutboxEvent, ...]:
    message = delivery.message
    original = OriginalMessage(
        message.topic,
        message.partition_number,
        message.offset,
        message.key,
        message.value,
        message.headers,
        delivery.received_at,
    )
    rejection = Rejection(result.job_id, str(refusal.reason), refusal.detail, refusal.attempt, result.finished_at)
    letter = bury(original, rejection)
    if no_trace:
        letter = without_content(letter)
    dead_letter = OutboxEvent(
        letter.event_id,
        letter.job_id,
        topics.DEAD_LETTERS.full_name(identity.topic_prefix),
        str(letter.job_id).encode(),
        tuple(headers.dead_letter_headers(letter)),
        encode(letter),
    )
    return _result_event(identity, delivery, _answer_of(result), encode(result)), dead_letter


class _Answer(NamedTuple):
    """Whose result it is, under which id, since when; the ids as text too, which takes long to write."""

    job_id: UUID
    job_text: str
    event_id: UUID
    event_text: str
    finished_at: datetime


def _answer_of(result: TranslationResult) -> _Answer:
    return _Answer(result.job_id, str(result.job_id), result.event_id, str(result.event_id), result.finished_at)


def _result_event(identity: Identity, delivery: Delivery, answer: _Answer, payload: bytes) -> OutboxEvent:
    ours = headers.result_headers(answer.event_text, answer.finished_at)
    ours += _trace(delivery.message.headers)
    return OutboxEvent(
        answer.event_id,
        answer.job_id,
        _results_topic(identity.topic_prefix),
        answer.job_text.encode(),
        tuple(ours),
        payload,
    )


@lru_cache(maxsize=16)
def _results_topic(prefix: str) -> str:
    return topics.RESULTS.full_name(prefix)


def _trace(of_message: headers.KafkaHeaders) -> headers.TextHeaders:
    """The trace headers as text for the outbox; one that is not printable ASCII is left out."""
    texts = [(name, value.decode("ascii", "replace")) for name, value in headers.trace_headers(of_message)]
    return [(name, text) for name, text in texts if text.isascii() and text.isprintable()] if texts else texts


@lru_cache(maxsize=1024)
def _options(beam_size: int | None, length_penalty: float | None) -> Mapping[str, Any]:
    """What the job asked for; shared by all jobs that ask for the same."""
    return TranslationOptions(beam_size=beam_size, length_penalty=length_penalty).model_dump(exclude_none=True)
