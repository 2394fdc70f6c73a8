"""Kafka headers of our messages. Knows CloudEvents, W3C trace context and Kafka Connect's dead letters.

CloudEvents in binary mode: the attributes are headers, the value stays as it is. Headers are UTF-8 text.
"""

from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from urllib.parse import quote

from .dead_letters import DeadLetter
from .jobs import TranslationJob

TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"
SCHEMA_VERSION = "schema-version"
_TRACE = frozenset((TRACEPARENT, TRACESTATE))

JOB_TYPE = "dragoman.job.submitted"
RESULT_TYPE = "dragoman.job.finished"
DEAD_LETTER_TYPE = "dragoman.message.rejected"

WORKER_SOURCE = "/dragoman/worker"
_BEGINNING = (("content-type", "application/json"), ("ce_specversion", "1.0"))

Headers = list[tuple[str, bytes]]
# As a client hands them over.
KafkaHeaders = Iterable[tuple[str, bytes | None]]
# Ours before they are encoded.
TextHeaders = list[tuple[str, str]]


def job_headers(job: TranslationJob) -> Headers:
    """Return the headers that a job travels with."""
    source = f"/dragoman/clients/{quote(job.client_id, safe='')}"
    return _encoded(_cloud_event(str(job.job_id), source, JOB_TYPE, job.submitted_at))


def result_headers(event_id: str, finished_at: datetime) -> TextHeaders:
    """Return the headers that a result travels with."""
    return _cloud_event(event_id, WORKER_SOURCE, RESULT_TYPE, finished_at)


def dead_letter_headers(letter: DeadLetter) -> TextHeaders:
    """Return the headers that a dead letter travels with: ours, and those that Kafka Connect writes."""
    connect = {
        "topic": letter.topic,
        "partition": str(letter.partition),
        "offset": str(letter.offset),
        "exception.class.name": f"dragoman.{letter.reason}",
        "exception.message": letter.detail,
    }
    headers = _cloud_event(str(letter.event_id), WORKER_SOURCE, DEAD_LETTER_TYPE, letter.failed_at)
    return headers + [(f"__connect.errors.{name}", text) for name, text in connect.items()]


def trace_headers(headers: KafkaHeaders) -> Headers:
    """Return those of `headers` that carry the trace context, to be passed on untouched."""
    return [(name, value) for name, value in headers if name in _TRACE and value is not None]


def _cloud_event(identity: str, source: str, kind: str, when: datetime) -> TextHeaders:
    return [*_BEGINNING, ("ce_id", identity), *_rest(source, kind, when)]


@lru_cache(maxsize=256)
def _rest(source: str, kind: str, when: datetime) -> TextHeaders:
    """What follows the id, which all events of a batch share."""
    return [
        ("ce_source", source),
        ("ce_type", kind),
        ("ce_time", _time(when)),
        (SCHEMA_VERSION, "1"),
    ]


def _time(when: datetime) -> str:
    return when.isoformat().replace("+00:00", "Z")


def _encoded(headers: TextHeaders) -> Headers:
    return [(name, text.encode()) for name, text in headers]
