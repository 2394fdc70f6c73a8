"""TMX 1.4b, the exchange format of translation memories. Knows its elements."""

from collections.abc import Iterator
from typing import BinaryIO
from xml.etree.ElementTree import Element

from ...errors import ConfigurationError
from .entries import Entry, Fault, Languages, Passed, Unit, matching_tag
from .markup import Grammar, Holder, Markup, Piece
from .plain_text import InlineCodeError, child, children, plain_text

GRAMMAR = Grammar("tmx", (), ("tu",))


def read_tmx(file: BinaryIO, languages: Languages) -> Iterator[Entry]:
    """The units of a TMX file in one pair of languages, which must be named: a unit may have many.

    Regional forms count (`en-US` as en). `creationid` or `changeid` is the author, the first note the reason.
    """
    if languages.source is None or languages.target is None:
        raise ConfigurationError("a TMX file has many languages: give --source and --target, e.g. -s en -t fr")
    for found in Markup(file, GRAMMAR):
        if isinstance(found, Fault):
            yield found
        elif not isinstance(found, Holder):
            yield _entry(found, languages.source, languages.target)


def _entry(piece: Piece, source: str, target: str) -> Entry:
    variants = children(piece.element, "tuv")
    found = [(_language(variant), child(variant, "seg")) for variant in reversed(variants)]
    # Where a language comes twice, the first one counts.
    segments = {language: segment for language, segment in found if language and segment is not None}
    if not found or any(segment is None or not language for language, segment in found):
        return Fault(piece.number, piece.line, "a variant (<tuv>) has no segment or no language, or there is none")
    tags = list(reversed(segments))
    source_tag, target_tag = matching_tag(tags, source), matching_tag(tags, target)
    if source_tag is None or target_tag is None:
        return Passed(piece.number, "of other languages")
    try:
        source_text, target_text = plain_text(segments[source_tag]), plain_text(segments[target_tag])
    except InlineCodeError as error:
        return Fault(piece.number, piece.line, str(error))
    if not target_text:
        return Passed(piece.number, "without a translation")
    return Unit(piece.number, source_text, target_text, source, target, _author(piece.element), _note(piece.element))


def _language(variant: Element) -> str:
    return variant.get("xml:lang") or variant.get("lang") or ""


def _author(unit: Element) -> str | None:
    author: str | None = unit.get("changeid") or unit.get("creationid")
    return author or None


def _note(unit: Element) -> str | None:
    note = child(unit, "note")
    return None if note is None else "".join(note.itertext()) or None
