"""XLIFF 1.2 and 2.x, the exchange format of translation tools. Knows their elements."""

from collections.abc import Iterator
from typing import BinaryIO
from xml.etree.ElementTree import Element

from ...schemas.languages import normalised_tag
from .entries import Entry, Fault, Languages, Passed, Unit, matching_tag
from .markup import Grammar, Holder, Markup, Piece
from .plain_text import InlineCodeError, child, children, plain_text

GRAMMAR = Grammar("xliff", ("file",), ("trans-unit", "unit"))
# Attributes of <xliff> in 2.x, of <file> in 1.2.
SOURCE_NAMES, TARGET_NAMES = ("source-language", "srcLang"), ("target-language", "trgLang")
# What a translation is called that nobody has approved. One without a state is taken as it is.
UNCONFIRMED = ("initial", "new", "needs-")


def read_xliff(file: BinaryIO, languages: Languages) -> Iterator[Entry]:
    """The translated segments of an XLIFF file, in the languages that it names; others than `languages` are passed.

    A translation is passed whose state says that nobody has confirmed it. Regional forms count (`en-US` as en).
    """
    said = Languages()
    for found in Markup(file, GRAMMAR):
        if isinstance(found, Fault):
            yield found
        elif isinstance(found, Holder):
            said = Languages(
                _first(found.attributes, SOURCE_NAMES) or said.source,
                _first(found.attributes, TARGET_NAMES) or said.target,
            )
        else:
            yield from _entries(found, said, languages)


def _entries(piece: Piece, said: Languages, wanted: Languages) -> Iterator[Entry]:
    try:
        pair = [_agreed(said.source, wanted.source), _agreed(said.target, wanted.target)]
    except ValueError:
        yield Fault(piece.number, piece.line, "the file names no known languages: give --source and --target")
        return
    if None in pair:
        yield Passed(piece.number, "of other languages")
        return
    segments = children(piece.element, "segment") or [piece.element]
    for segment in segments:
        yield _entry(piece, segment, Languages(*pair))


def _entry(piece: Piece, segment: Element, pair: Languages) -> Entry:
    source, target = child(segment, "source"), child(segment, "target")
    if source is None:
        return Fault(piece.number, piece.line, "it has no <source>")
    if target is None or not (len(target) or target.text):
        return Passed(piece.number, "without a translation")
    state = target.get("state") or segment.get("state") or ""
    if state.startswith(UNCONFIRMED):
        return Passed(piece.number, "not confirmed")
    try:
        texts = plain_text(source), plain_text(target)
    except InlineCodeError as error:
        return Fault(piece.number, piece.line, str(error))
    return Unit(piece.number, *texts, pair.source, pair.target, None, _note(piece.element))


def _note(unit: Element) -> str | None:
    """The first note: in 1.2 it lies in the unit, in 2.x among its notes."""
    notes = child(unit, "notes")
    note = child(unit if notes is None else notes, "note")
    return None if note is None else "".join(note.itertext()) or None


def _agreed(said: str | None, wanted: str | None) -> str | None:
    """The language that both mean; None where they differ. Raises ValueError when neither names one."""
    if wanted is None:
        return normalised_tag(said or "")
    return wanted if said is None or matching_tag([said], wanted) else None


def _first(attributes: dict[str, str], names: tuple[str, ...]) -> str | None:
    return next((attributes[name] for name in names if name in attributes), None)
