"""Reads a file of segments: one a line, or one JSON object a line. Knows no Kafka."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import ConfigurationError
from ..schemas.faults import fault_of
from ..schemas.texts import Metadata

Form = Literal["lines", "jsonl"]

# Longer than any text that a job may hold, escaped. The rest of such a line is skipped, not kept in memory.
_LONGEST_LINE_BYTES = 4 * 1024 * 1024
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Segment:
    """A line that asks for a translation; languages are None where the line names none."""

    line_number: int
    text: str
    source: str | None = None
    target: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BlankLine:
    """A line with nothing but white space on it."""

    line_number: int


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is no segment, and the sentence that says why without quoting it."""

    line_number: int
    sentence: str


Line = Segment | BlankLine | BadLine


class _JsonLine(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    text: str
    source: str | None = None
    target: str | None = None
    metadata: Metadata = Field(default_factory=dict)


def read_segments(path: Path, form: Form) -> Iterator[Line]:
    """Yield what is on each line, numbered from 1; raises `ConfigurationError` for an unreadable file."""
    parse = _plain if form == "lines" else _json
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(_raw_lines(file), 1):
                yield _line(number, raw, parse)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error


def _raw_lines(file: BinaryIO) -> Iterator[bytes | None]:
    """Yield each line without its end, or None for one that is too long."""
    if file.read(len(_BYTE_ORDER_MARK)) != _BYTE_ORDER_MARK:
        file.seek(0)
    while raw := file.readline(_LONGEST_LINE_BYTES):
        if raw.endswith(b"\n") or len(raw) < _LONGEST_LINE_BYTES:
            yield raw.rstrip(b"\r\n")
        else:
            _skip_line(file)
            yield None


def _skip_line(file: BinaryIO) -> None:
    while (rest := file.readline(_LONGEST_LINE_BYTES)) and not rest.endswith(b"\n"):
        pass


def _line(number: int, raw: bytes | None, parse: Callable[[int, str], Line]) -> Line:
    if raw is None:
        return BadLine(number, f"the line is longer than {_LONGEST_LINE_BYTES:,} bytes: split it")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        return BadLine(number, f"byte {error.start} of the line is not UTF-8: convert the file to UTF-8")
    return parse(number, text) if text.strip() else BlankLine(number)


def _plain(number: int, text: str) -> Line:
    return Segment(number, text)


def _json(number: int, text: str) -> Line:
    try:
        line = _JsonLine.model_validate_json(text)
    except ValidationError as error:
        if error.errors(include_input=False)[0]["type"] == "json_invalid":
            return BadLine(number, 'the line is not JSON: write {"text": "..."}, one object a line')
        return BadLine(number, fault_of(error).sentence)
    return Segment(number, line.text, line.source, line.target, line.metadata)
