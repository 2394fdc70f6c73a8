"""Corrections a line each: JSON objects, or columns between tabs. Knows the two forms."""

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from ...errors import ConfigurationError
from ...schemas.texts import LONGEST_TEXT_CHARACTERS
from .entries import Entry, Fault, Languages, Unit

# Two texts of the greatest length, each character escaped as two halves of a surrogate pair, and room for the rest.
LONGEST_LINE_BYTES = 2 * 12 * LONGEST_TEXT_CHARACTERS + (1 << 20)
FIELDS = ("source_text", "target_text", "source_language", "target_language", "author", "reason")


def read_jsonl(file: BinaryIO, languages: Languages) -> Iterator[Entry]:
    """An object a line with source_text and target_text, and if it likes the languages, author and reason."""
    for number, line in _lines(file):
        yield line if isinstance(line, Fault) else _from_json(number, line, languages)


def read_tsv(file: BinaryIO, languages: Languages) -> Iterator[Entry]:
    """Source, tab, target, and if there is a third column the reason; the languages must be named."""
    if languages.source is None or languages.target is None:
        raise ConfigurationError("a TSV file names no languages: give --source and --target, e.g. -s en -t fr")
    for number, line in _lines(file):
        yield line if isinstance(line, Fault) else _from_columns(number, line, languages)


def _lines(file: BinaryIO) -> Iterator[tuple[int, str | Fault]]:
    """Lines that are not blank, by number, as text or as what is wrong with them."""
    number = 0
    while line := file.readline(LONGEST_LINE_BYTES):
        number += 1
        if len(line) == LONGEST_LINE_BYTES and not line.endswith(b"\n"):
            while line and not line.endswith(b"\n"):
                line = file.readline(LONGEST_LINE_BYTES)
            yield number, Fault(number, number, "the line is longer than two texts may be")
            continue
        try:
            text = (line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line).decode().rstrip("\r\n")
        except UnicodeDecodeError:
            yield number, Fault(number, number, "the line is not UTF-8")
            continue
        if text.strip():
            yield number, text


def _from_json(number: int, line: str, languages: Languages) -> Entry:
    try:
        found: Any = json.loads(line)
    except (ValueError, RecursionError):
        return Fault(number, number, "the line is not JSON")
    if not isinstance(found, dict) or any(not isinstance(found.get(name) or "", str) for name in FIELDS):
        return Fault(number, number, "the line is no JSON object of texts")
    if not found.get("source_text") or not found.get("target_text"):
        return Fault(number, number, "source_text or target_text is missing")
    return Unit(
        number,
        found["source_text"],
        found["target_text"],
        languages.source or found.get("source_language"),
        languages.target or found.get("target_language"),
        found.get("author"),
        found.get("reason"),
    )


def _from_columns(number: int, line: str, languages: Languages) -> Entry:
    columns = line.split("\t")
    if len(columns) not in (2, 3):
        return Fault(number, number, f"{len(columns)} columns where source, target and perhaps a reason are wanted")
    reason = columns[2] if len(columns) == 3 else ""
    return Unit(number, columns[0], columns[1], languages.source, languages.target, None, reason or None)
