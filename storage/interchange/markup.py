"""Cuts an XML file into its units, so that one that is broken costs none of the others. Knows tags, keeps no tree.

A parser must stop at the first fault of a document. Here each unit is parsed alone: between units only the tags that
matter are looked for. Entities cannot be declared within a unit, and a file that declares some is refused: a few lines
of them can stand for gigabytes, or for other files. Nothing named by a DOCTYPE is ever opened.
"""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, NoReturn
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from ...errors import ConfigurationError
from ...schemas.texts import LONGEST_TEXT_CHARACTERS
from .entries import Fault

CHUNK_BYTES = 1 << 17
# Two texts of the greatest length, each character escaped in six, and as much again for what surrounds them.
LONGEST_UNIT = 4 * 6 * LONGEST_TEXT_CHARACTERS
# No tag that we look for has a longer name with its prefix, so one cut in two is found with what follows.
LONGEST_NAME = 200
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
DECLARED = re.compile(rb"""^\s*<\?xml[^>]*?\sencoding\s*=\s*["']([A-Za-z][\w.\-]*)["']""")


@dataclass(frozen=True, slots=True)
class Grammar:
    """The names of a format's elements: its root, what holds units and says something of them, its units."""

    root: str
    holders: tuple[str, ...]
    units: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Holder:
    """The start of an element that holds units."""

    name: str
    attributes: dict[str, str]


@dataclass(frozen=True, slots=True)
class Piece:
    """One unit, parsed. Names are as they stand there, with their prefixes."""

    number: int
    line: int
    element: Element


class Markup:
    """Iterates over the holders, units and faults of a file, in their order."""

    def __init__(self, file: BinaryIO, grammar: Grammar) -> None:
        self._text = _Text(file)
        self._grammar = grammar
        names = "|".join(map(re.escape, (grammar.root, *grammar.holders, *grammar.units)))
        self._token = re.compile(rf"<!--|<!\[CDATA\[|<!ENTITY|<(/?)(?:[\w.\-]+:)?({names})(?=[\s/>])")
        self._number = 0

    def __iter__(self) -> Iterator[Holder | Piece | Fault]:
        root, is_begun, is_ended = self._grammar.root, False, False
        while (token := self._text.find(self._token)) is not None:
            name, closes = token[2], token[1] == "/"
            if name is None:
                if not self._pass_over(token):
                    raise ConfigurationError(f"a {token[0]} in the file does not end")
            elif closes:
                is_ended = is_ended or name == root
            elif name in self._grammar.units:
                yield self._unit(token)
            else:
                is_begun = is_begun or name == root
                yield self._holder(name, token)
            self._text.forget()
        if not is_begun:
            raise ConfigurationError(f"the file has no element <{root}>: it is of another format, or not XML")
        if not is_ended:
            yield Fault(self._number, self._text.line(), f"the file ends without </{root}>: is it whole?")

    def _unit(self, start: re.Match[str]) -> Piece | Fault:
        """The unit that begins here."""
        self._number += 1
        begin, line = start.start(), self._text.line(start.start())
        end = self._end_of_unit(begin)
        if end is None:
            return Fault(self._number, line, "it does not end, or is too long")
        if end[1] == "":
            self._text.at = end.start()
            return Fault(self._number, line, "it does not end before the next one begins")
        return self._parsed(self._text.between(begin, end.end()) + ">", line)

    def _end_of_unit(self, begin: int) -> re.Match[str] | None:
        """The tag that ends the unit which begins there, or begins the next one; None where neither comes."""
        while (token := self._text.find(self._token, keep_from=begin)) is not None:
            if token[2] is None:
                if not self._pass_over(token, keep_from=begin):
                    return None
            elif token[2] in self._grammar.units:
                return token
        return None

    def _pass_over(self, begun: re.Match[str], keep_from: int | None = None) -> bool:
        """Go behind a comment or a CDATA section; False for one that does not end."""
        if begun[0] == "<!ENTITY":
            _refuse_entities(self._text.line())
        return self._text.skip("-->" if begun[0] == "<!--" else "]]>", keep_from)

    def _parsed(self, fragment: str, line: int) -> Piece | Fault:
        try:
            return Piece(self._number, line, parse(fragment))
        except (expat.ExpatError, UnicodeError) as error:
            said = expat.ErrorString(error.code) if isinstance(error, expat.ExpatError) else "a character is damaged"
            return Fault(self._number, line, f"not well-formed XML: {said}")

    def _holder(self, name: str, start: re.Match[str]) -> Holder:
        begin = start.start()
        self._text.skip(">", keep_from=begin)
        try:
            return Holder(name, parse(self._text.between(begin, self._text.at).rstrip("/>") + "/>").attrib)
        except (expat.ExpatError, UnicodeError) as error:
            raise ConfigurationError(f"the start of <{name}> in line {self._text.line(begin)} is no XML") from error


def parse(fragment: str) -> Element:
    """The element that a text is, its names as they stand there; raises `ExpatError` for one that is none."""
    builder, parser = TreeBuilder(), expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.Parse(fragment.encode(), True)
    return builder.close()


class _Text:
    """A window over the characters of a file, moved forwards."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        first = file.read(CHUNK_BYTES)
        self._decoder = _decoder(first)
        self._window = self._decode(first)
        self._ended = not first
        self._line = 1
        self._line_at = 0  # the place that `_line` speaks of
        self.at = 0

    def find(self, pattern: re.Pattern[str], keep_from: int | None = None) -> re.Match[str] | None:
        """The next match, behind which the next search begins; with `keep_from` None also when it is too far off."""
        while True:
            found = pattern.search(self._window, self.at)
            if found is not None and (found.end() < len(self._window) or self._ended):
                self.at = found.end()
                return found
            at = found.start() if found else max(self.at, len(self._window) - LONGEST_NAME)
            if self._ended or not self._may_grow(at, keep_from):
                self.at = at
                return None
            self._grow(at, keep_from)

    def skip(self, marker: str, keep_from: int | None = None) -> bool:
        """Go behind the next `marker`; False where there is none, or, with `keep_from`, where it is too far off."""
        while (place := self._window.find(marker, self.at)) < 0:
            at = max(self.at, len(self._window) - len(marker))
            if self._ended or not self._may_grow(at, keep_from):
                self.at = at
                return False
            self._grow(at, keep_from)
        self.at = place + len(marker)
        return True

    def between(self, begin: int, end: int) -> str:
        """A part of the window."""
        return self._window[begin:end]

    def line(self, place: int | None = None) -> int:
        """The line of a place in the window, of where we are if none is given; places only grow."""
        place = self.at if place is None else place
        self._line += self._window.count("\n", self._line_at, place)
        self._line_at = place
        return self._line

    def forget(self) -> None:
        """Drop what lies behind us, when that is worth it; places from before are of no use then."""
        if self.at > CHUNK_BYTES:
            self._drop(self.at)

    def _may_grow(self, at: int, keep_from: int | None) -> bool:
        return keep_from is None or at - keep_from <= LONGEST_UNIT

    def _grow(self, at: int, keep_from: int | None) -> None:
        self.at = at
        if keep_from is None:
            self._drop(at)
        chunk = self._file.read(CHUNK_BYTES)
        self._ended = not chunk
        self._window += self._decode(chunk)

    def _drop(self, count: int) -> None:
        self.line(count)
        self._window = self._window[count:]
        self._line_at = 0
        self.at -= count

    def _decode(self, chunk: bytes) -> str:
        try:
            return self._decoder.decode(chunk, final=not chunk)
        except UnicodeError as error:
            raise ConfigurationError("the file is not in the encoding that it names") from error


def _decoder(first: bytes) -> codecs.IncrementalDecoder:
    named = DECLARED.match(first)
    encoding = next((name for mark, name in BYTE_ORDER_MARKS if first.startswith(mark)), None)
    encoding = encoding or (named[1].decode() if named else "utf-8")
    try:
        # A damaged character of UTF-8 is the fault of its unit alone.
        errors = "surrogateescape" if codecs.lookup(encoding).name.startswith("utf-8") else "strict"
        "".encode(encoding)
        return codecs.getincrementaldecoder(encoding)(errors)
    except (LookupError, ValueError) as error:
        raise ConfigurationError("the file names an encoding that nobody knows: convert it to UTF-8") from error


def _refuse_entities(line: int) -> NoReturn:
    raise ConfigurationError(
        f"the file declares entities (line {line}): such files are refused, since entities can unfold without bound "
        "or stand for other files; replace them by their text"
    )
