"""Models to bytes and back. Knows JSON and the contracts; does not know Kafka.

Reading is tolerant of unknown fields and of nothing else. No error quotes what a message holds.
"""

import json
from collections.abc import Mapping
from typing import Any, TypeVar
from uuid import UUID

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import to_json

from ..errors import RejectedJobError
from .dead_letters import DeadLetter
from .faults import Fault, fault_of, missing
from .ids import JobId
from .jobs import TranslationJob
from .reasons import Reason
from .results import TranslationResult

# The largest job that is allowed has some 700 kB. Above this a message is not even parsed: it is a bomb.
LARGEST_JOB_BYTES = 4 * 1024 * 1024

_Model = TypeVar("_Model", bound=BaseModel)
# Whoever constructs a model may leave them out. A message without them would be another job at each reading.
NEVER_LEFT_OUT = ("schema_version", "job_id", "event_id", "submitted_at")
_NEVER_LEFT_OUT_OF: dict[type[BaseModel], frozenset[str]] = {
    contract: frozenset(NEVER_LEFT_OUT) & contract.model_fields.keys()
    for contract in (TranslationJob, TranslationResult, DeadLetter)
}

_JOB_ID: TypeAdapter[UUID] = TypeAdapter(JobId)


class UndecodableMessageError(RejectedJobError):
    """A message is not what its topic promises.

    `raw` holds its bytes; `job_id`, `client_id` and `no_trace` what could still be read of them.
    """

    def __init__(self, fault: Fault, raw: bytes | None, salvage: object = None) -> None:
        super().__init__(fault.reason, fault.sentence)
        self.raw = raw
        self.job_id = _salvaged_job_id(salvage)
        self.client_id = _salvaged_client_id(salvage)
        self.no_trace = isinstance(salvage, dict) and salvage.get("no_trace") is True


def encode(model: BaseModel) -> bytes:
    """Return the model as compact JSON in UTF-8."""
    return model.model_dump_json().encode()


def encode_sound_result(fields: Mapping[str, Any]) -> bytes:
    """What `encode` makes of a `TranslationResult` of these fields, in a tenth of the time.

    Nothing is checked: `fields` holds every field of the contract, in its order, each as the contract would have it;
    ids may be text.
    """
    return to_json(fields)


def decode_job(value: bytes | None) -> TranslationJob:
    """Read a job; raises `UndecodableMessageError` that says why the message is none."""
    if value is not None and len(value) > LARGEST_JOB_BYTES:
        sentence = f"the message has {len(value):,} bytes, a job at most {LARGEST_JOB_BYTES:,}: split the text"
        raise UndecodableMessageError(Fault(Reason.MESSAGE_TOO_LARGE, sentence), value)
    return _decode(TranslationJob, value)


def decode_result(value: bytes | None) -> TranslationResult:
    """Read a result; raises `UndecodableMessageError`."""
    return _decode(TranslationResult, value)


def decode_dead_letter(value: bytes | None) -> DeadLetter:
    """Read a dead letter; raises `UndecodableMessageError`."""
    return _decode(DeadLetter, value)


def _decode(contract: type[_Model], value: bytes | None) -> _Model:
    if not value:
        raise UndecodableMessageError(Fault(Reason.EMPTY_MESSAGE, "the message has no value: send JSON"), value)
    try:
        message = contract.model_validate_json(value, strict=True, extra="ignore")
    except ValidationError as error:
        raise _undecodable(value, error) from None
    left_out = _NEVER_LEFT_OUT_OF[contract] - message.model_fields_set
    if left_out:
        first = next(field for field in NEVER_LEFT_OUT if field in left_out)
        raise UndecodableMessageError(missing(first), value, _parse(value))
    return message


def _undecodable(value: bytes, problem: ValidationError) -> UndecodableMessageError:
    document = _parse(value)
    if problem.errors(include_input=False)[0]["type"] == "json_invalid":
        return UndecodableMessageError(_hidden_fault(document), value, document)
    if not isinstance(document, dict):
        sentence = "the message is JSON but not an object: send one object a message"
        return UndecodableMessageError(Fault(Reason.NOT_AN_OBJECT, sentence), value)
    fault = fault_of(problem) if "schema_version" in document else missing("schema_version")
    return UndecodableMessageError(fault, value, document)


def _parse(value: bytes) -> object:
    """Parse with Python's own parser: it is slower, says more, and lets lone surrogates through."""
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError as error:
        fault = Fault(Reason.NOT_UTF8, f"the message is not UTF-8 (byte {error.start}): encode it as UTF-8")
        raise UndecodableMessageError(fault, value) from None
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        sentence = f"the message is not JSON (line {error.lineno}, column {error.colno})"
    except RecursionError:
        sentence = "the message is nested too deeply to be read as JSON"
    except ValueError:  # Python's limit on the digits of an integer
        sentence = "the message holds a number too long to be read as JSON"
    raise UndecodableMessageError(Fault(Reason.NOT_JSON, sentence), value) from None


def _hidden_fault(document: object) -> Fault:
    """Say why a document that Python reads is not JSON to pydantic, which is stricter."""
    try:
        json.dumps(document, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        sentence = "a text holds a lone surrogate (half of a UTF-16 pair): send valid Unicode text"
        return Fault(Reason.LONE_SURROGATE, sentence)
    except RecursionError:
        pass
    return Fault(Reason.NOT_JSON, "the message is nested too deeply, or holds a number too long, to be read as JSON")


def _salvaged_job_id(document: object) -> UUID | None:
    if not isinstance(document, dict) or not isinstance(document.get("job_id"), str):
        return None
    try:
        return _JOB_ID.validate_python(document["job_id"])
    except ValidationError:
        return None


def _salvaged_client_id(document: object) -> str | None:
    client_id = document.get("client_id") if isinstance(document, dict) else None
    usable = isinstance(client_id, str) and 0 < len(client_id) <= 200 and client_id.isprintable()
    return client_id if usable else None
