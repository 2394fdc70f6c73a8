"""What a text in a message may hold, checked at the edge and again in the worker. Knows no message."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BeforeValidator
from pydantic_core import PydanticCustomError

from .reasons import Reason

# A page of a book has 2,000. UTF-8 needs at most 4 bytes a character, so a text has at most 400 kB, and a job
# whose characters are all escaped in JSON still fits Kafka's default message limit of 1 MiB.
LONGEST_TEXT_CHARACTERS = 100_000
MOST_METADATA_ENTRIES = 32
MOST_METADATA_BYTES = 4_000


def source_text_fault(text: str) -> tuple[Reason, str] | None:
    """Say why `text` cannot be a source text, or return None; neither the words nor the sentence quote it."""
    if len(text) > LONGEST_TEXT_CHARACTERS:
        return Reason.TEXT_TOO_LARGE, (
            f"the text has {len(text):,} characters and at most {LONGEST_TEXT_CHARACTERS:,} are allowed: "
            "split it, best into sentences"
        )
    if not text or text.isspace():
        return Reason.EMPTY_TEXT, "the text is empty or only white space: there is nothing to translate"
    return character_fault("the text", text)


def character_fault(name: str, text: str) -> tuple[Reason, str] | None:
    """Say which character of `text` no database and no UTF-8 message can hold, or return None."""
    if "\x00" in text:
        return Reason.NUL_CHARACTER, (
            f"{name} holds a NUL character (U+0000) at position {text.index(chr(0))}: remove it"
        )
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        return Reason.LONE_SURROGATE, (
            f"{name} holds a lone surrogate at position {error.start}: send valid Unicode text"
        )
    return None


def _source_text(value: object) -> object:
    _refuse(source_text_fault(value) if isinstance(value, str) else None)
    return value


def _clean(value: object) -> object:
    _refuse(character_fault("it", value) if isinstance(value, str) else None)
    return value


def _refuse(fault: tuple[Reason, str] | None) -> None:
    if fault is not None:
        raise PydanticCustomError(fault[0].value, "{sentence}", {"sentence": fault[1]})


def _bounded(metadata: dict[str, str]) -> dict[str, str]:
    if not metadata:
        return metadata
    size_bytes = sum(len(part.encode()) for entry in metadata.items() for part in entry)
    if len(metadata) > MOST_METADATA_ENTRIES or size_bytes > MOST_METADATA_BYTES:
        raise PydanticCustomError(
            "metadata_too_large",
            "it has {entries} entries of {size} bytes, and at most {most_entries} of {most} are allowed",
            {
                "entries": len(metadata),
                "size": size_bytes,
                "most_entries": MOST_METADATA_ENTRIES,
                "most": MOST_METADATA_BYTES,
            },
        )
    return metadata


def _in_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise PydanticCustomError("time_out_of_range", "the time lies outside the years 1-9999 in UTC") from None


SourceText = Annotated[str, BeforeValidator(_source_text)]
CleanText = Annotated[str, BeforeValidator(_clean)]
Metadata = Annotated[dict[CleanText, CleanText], AfterValidator(_bounded)]
Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]
