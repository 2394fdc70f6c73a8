"""From a pydantic error to a reason and a sentence that holds no user text. Knows no message and no topic."""

from dataclasses import dataclass

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from .reasons import Reason

_MOST_FAULTS = 3  # so many are named, then a count: a sentence, not a listing
_REASONS = {reason.value: reason for reason in Reason}


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a message is not a job: the word for programs and the sentence for people."""

    reason: Reason
    sentence: str


_WRONG_VERSION = Fault(Reason.WRONG_SCHEMA_VERSION, "schema_version must be 1: publish with a client of that version")


def missing(field: str) -> Fault:
    """Name a field that a message must have and has not."""
    return _WRONG_VERSION if field == "schema_version" else Fault(Reason.INVALID_JOB, f"{field} is missing")


def fault_of(error: ValidationError) -> Fault:
    """Name what is wrong, the gravest first, without a word of what the caller wrote."""
    details = error.errors(include_url=False, include_context=False, include_input=False)
    for detail in details:
        if _field(detail) == "schema_version":
            return _WRONG_VERSION
    for detail in details:
        if detail["type"] in _REASONS:
            field = _field(detail)
            return Fault(
                _REASONS[detail["type"]],
                detail["msg"] if field == "source_text" else f"{field}: {detail['msg']}",
            )
    for detail in details:
        if detail["type"] == "string_unicode":
            return Fault(
                Reason.LONE_SURROGATE,
                f"{_field(detail)}: it holds a lone surrogate: send valid Unicode text",
            )
    named = [_sentence(detail) for detail in details[:_MOST_FAULTS]]
    more = len(details) - len(named)
    return Fault(Reason.INVALID_JOB, "; ".join(named) + (f"; and {more} more" if more else ""))


def _field(detail: ErrorDetails) -> str:
    """The field by name. Below other fields than `options` the location is a key that the caller chose."""
    location = detail["loc"][: 2 if detail["loc"][:1] == ("options",) else 1]
    return ".".join(map(str, location)) or "the message"


def _sentence(detail: ErrorDetails) -> str:
    kind, field = detail["type"], _field(detail)
    if kind == "missing":
        return missing(field).sentence
    if kind == "extra_forbidden":
        return "a field is not known to schema version 1"
    if kind == "uuid_parsing":  # pydantic's own message quotes the offending character
        return f"{field} is not a UUID"
    message = detail["msg"].replace("Input should", "it should")
    return f"{field}: {message}"
