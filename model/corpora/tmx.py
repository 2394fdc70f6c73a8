"""TMX, the exchange format of translation memories (version 1.4b). Knows its elements, keeps no tree.

Only one translation unit is in memory at a time. Declared entities are refused: a few lines of them can stand for
gigabytes of text. Native codes of other tools (`<bpt>`, `<ph>` and the like) are dropped, highlighted text is kept.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn
from xml.parsers import expat

from ...errors import ConfigurationError
from .language_tags import matching_tag
from .lines import open_bytes

# Elements within a segment whose content is code, not text.
CODES = frozenset({"bpt", "ept", "it", "ph", "ut"})
CHUNK_BYTES = 1 << 16


def read_tmx(path: Path, languages: tuple[str, str]) -> Iterator[tuple[str, str]]:
    """The segments of each unit that has both languages; regional forms count (`es-419` as es).

    Raises `ConfigurationError` for a file that is no XML or declares entities, or if no unit has both languages.
    """
    units = _Units(path)
    found = False
    with open_bytes(path) as file:
        while not units.ended:
            for unit in units.feed(file.read(CHUNK_BYTES)):
                source, target = (matching_tag(unit, language) for language in languages)
                if source is not None and target is not None:
                    found = True
                    yield unit[source], unit[target]
    if not found:
        seen = ", ".join(sorted(units.languages)) or "none"
        raise ConfigurationError(
            f"{path} holds no translation unit with {languages[0]} and {languages[1]}; its languages: {seen}"
        )


class _Units:
    """Gathers translation units, each the text by language tag, out of the events of an XML parser."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ended = False
        self.languages: set[str] = set()
        self._done: list[dict[str, str]] = []
        self._unit: dict[str, str] = {}
        self._language = ""
        self._text: list[str] = []
        self._in_segment = False
        self._codes = 0
        self._parser = self._make_parser()

    def feed(self, chunk: bytes) -> list[dict[str, str]]:
        """The units that `chunk` completes; an empty one ends the document."""
        self._done, self.ended = [], not chunk
        try:
            self._parser.Parse(chunk, self.ended)
        except (expat.ExpatError, LookupError, UnicodeError) as error:
            raise ConfigurationError(f"the corpus file {self.path} is not well-formed XML: {error}") from error
        return self._done

    def _make_parser(self) -> expat.XMLParserType:
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.EntityDeclHandler = self._refuse_entity
        return parser

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "tu":
            self._unit = {}
        elif name == "tuv":
            self._language = attributes.get("xml:lang") or attributes.get("lang", "")
        elif name == "seg":
            self._text, self._in_segment, self._codes = [], True, 0
        elif name in CODES:
            self._codes += 1

    def _end(self, name: str) -> None:
        if name == "seg":
            self._in_segment = False
            self.languages.add(self._language)
            self._unit.setdefault(self._language, "".join(self._text))
        elif name == "tu":
            self._done.append(self._unit)
        elif name in CODES:
            self._codes -= 1

    def _characters(self, text: str) -> None:
        if self._in_segment and not self._codes:
            self._text.append(text)

    def _refuse_entity(self, name: str, *_: object) -> NoReturn:
        raise ConfigurationError(
            f"the corpus file {self.path} declares the entity {name!r}: "
            "such files are refused, since entities can unfold without bound; replace them by their text"
        )
