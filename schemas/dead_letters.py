"""The contract of a dead letter: a message given up for good. Does not know how it travels."""

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationInfo,
    WithJsonSchema,
)

from .ids import DEAD_LETTER_EVENT, event_id
from .texts import Moment

# A compressed batch of some kB can hold a message of 100 MB; what is kept of it fits the dead-letters topic.
LONGEST_KEPT_VALUE_BYTES = 4 * 1024 * 1024
LONGEST_KEPT_KEY_BYTES = 64 * 1024
LONGEST_KEPT_HEADERS_BYTES = 64 * 1024

Headers = Sequence[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True)
class OriginalMessage:
    """A message as it was polled, before anyone tried to read it."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a message is given up: `detail` is a sentence without user text, `attempt` counts from 1."""

    job_id: UUID
    reason: str
    detail: str
    attempt: int
    failed_at: datetime


def _from_base64(value: object, info: ValidationInfo) -> object:
    if info.mode == "json" and isinstance(value, str):
        return b64decode(value, validate=True)  # raises ValueError, which pydantic turns into a fault of the field
    return value


def _to_base64(value: bytes) -> str:
    return b64encode(value).decode("ascii")


Base64 = Annotated[
    bytes,
    BeforeValidator(_from_base64),
    PlainSerializer(_to_base64, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "contentEncoding": "base64"}),
]


def _dead_letter_event(known: dict[str, Any]) -> UUID:
    return event_id(known["job_id"], DEAD_LETTER_EVENT)


class DeadLetter(BaseModel):
    """A message that became no translation, version 1: where it was, why, and what it held.

    In Python the original key, value and header values are bytes; in JSON they are base64.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    schema_version: Literal[1] = Field(1, description="version of this contract")
    job_id: UUID = Field(description="of the message; made from its position when none could be read")
    event_id: UUID = Field(
        default_factory=_dead_letter_event,
        description="the same whenever this dead letter is published again",
    )
    reason: str = Field(min_length=1, description="a word of the table of reasons")
    detail: str = Field(description="the same as a sentence for people; never holds user text")
    topic: str = Field(min_length=1, description="where the message was")
    partition: int = Field(ge=0)
    offset: int = Field(ge=0)
    attempt: int = Field(1, ge=1, description="attempts made, counted from 1")
    original_key: Base64 | None = Field(None, description="the key's bytes")
    original_value: Base64 | None = Field(None, description="the value's bytes, the first 4 MiB of them")
    original_headers: tuple[tuple[str, Base64 | None], ...] = Field((), description="names and values, in order")
    original_size_bytes: int = Field(ge=0, description="size of the whole value")
    original_sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="digest of the whole value")
    truncated: bool = Field(False, description="whether key, value or headers were cut to what is kept, or left out")
    received_at: Moment = Field(description="when the worker polled the message")
    failed_at: Moment = Field(description="when it was given up")


def bury(original: OriginalMessage, rejection: Rejection) -> DeadLetter:
    """Make the dead letter of a message, cut to what is kept; never raises for what the message holds."""
    value = original.value or b""
    key, headers = original.key, _kept_headers(original.headers)
    return DeadLetter(
        job_id=rejection.job_id,
        reason=rejection.reason,
        detail=rejection.detail,
        topic=original.topic,
        partition=original.partition,
        offset=original.offset,
        attempt=rejection.attempt,
        original_key=None if key is None else key[:LONGEST_KEPT_KEY_BYTES],
        original_value=None if original.value is None else value[:LONGEST_KEPT_VALUE_BYTES],
        original_headers=headers,
        original_size_bytes=len(value),
        original_sha256=hashlib.sha256(value).hexdigest(),
        truncated=len(value) > LONGEST_KEPT_VALUE_BYTES
        or len(key or b"") > LONGEST_KEPT_KEY_BYTES
        or len(headers) < len(original.headers),
        received_at=original.received_at,
        failed_at=rejection.failed_at,
    )


def without_content(letter: DeadLetter) -> DeadLetter:
    """The letter of a message that must leave no trace: where it was and why, nothing that it held."""
    nothing = {"original_key": None, "original_value": None, "original_headers": (), "truncated": True}
    return letter.model_copy(update=nothing)


def _kept_headers(headers: Headers) -> tuple[tuple[str, bytes | None], ...]:
    kept = []
    room_bytes = LONGEST_KEPT_HEADERS_BYTES
    for name, value in headers:
        text = name.encode("utf-8", "replace")
        room_bytes -= len(text) + len(value or b"")
        if room_bytes < 0:
            break
        kept.append((text.decode(), value))
    return tuple(kept)
