"""Kafka headers of our messages. Knows CloudEvents, W3C trace context and Kafka Connect's dead letters.

CloudEvents in binary mode: the attributes are headers, the value stays as it is. Headers are UTF-8 text.
"""

from collections.abc import Iterable
from datetime import datetime
from urllib.parse import quote

from .dead_letters import DeadLetter
from .jobs import TranslationJob
from .results import TranslationResult

TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"
SCHEMA_VERSION = "schema-version"

JOB_TYPE = "dragoman.job.submitted"
RESULT_TYPE = "dragoman.job.finished"
DEAD_LETTER_TYPE = "dragoman.message.rejected"

WORKER_SOURCE = "/dragoman/worker"

Headers = list[tuple[str, bytes]]


def job_headers(job: TranslationJob) -> Headers:
    """Return the headers that a job travels with."""
    source = f"/dragoman/clients/{quote(job.client_id, safe='')}"
    return _encoded(_cloud_event(str(job.job_id), source, JOB_TYPE, job.submitted_at))


def result_headers(result: TranslationResult) -> Headers:
    """Return the headers that a result travels with."""
    return _encoded(result_attributes(result))


def result_attributes(result: TranslationResult) -> dict[str, str]:
    """Return the same as text, which is ASCII."""
    return _cloud_event(str(result.event_id), WORKER_SOURCE, RESULT_TYPE, result.finished_at)


def dead_letter_headers(letter: DeadLetter) -> Headers:
    """Return the headers that a dead letter travels with: ours, and those that Kafka Connect writes."""
    connect = {
        "topic": letter.topic,
        "partition": str(letter.partition),
        "offset": str(letter.offset),
        "exception.class.name": f"dragoman.{letter.reason}",
        "exception.message": letter.detail,
    }
    headers = _encoded(_cloud_event(str(letter.event_id), WORKER_SOURCE, DEAD_LETTER_TYPE, letter.failed_at))
    return headers + [(f"__connect.errors.{name}", text.encode()) for name, text in connect.items()]


def trace_headers(headers: Iterable[tuple[str, bytes | None]]) -> Headers:
    """Return those of `headers` that carry the trace context, to be passed on untouched."""
    return [(name, value) for name, value in headers if name in (TRACEPARENT, TRACESTATE) and value is not None]


def _cloud_event(identity: str, source: str, kind: str, when: datetime) -> dict[str, str]:
    return {
        "content-type": "application/json",
        "ce_specversion": "1.0",
        "ce_id": identity,
        "ce_source": source,
        "ce_type": kind,
        "ce_time": when.isoformat().replace("+00:00", "Z"),
        SCHEMA_VERSION: "1",
    }


def _encoded(attributes: dict[str, str]) -> Headers:
    return [(name, text.encode()) for name, text in attributes.items()]
