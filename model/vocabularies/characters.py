"""Character vocabulary, as in the character-level LSTM tutorials. Knows no tensors and no network.

A character is a Unicode code point, taken as it stands: nothing is composed, folded or cased.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Self

from ...errors import ConfigurationError
from .vocabulary import END, SPACE_FOR_CONTROL, UNKNOWN, Vocabulary

FILE = "characters.json"
FIRST_PIECE = END + 1
# What a reader sees where the network had no character to say.
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


class CharacterVocabulary(Vocabulary):
    """One piece a character, joint for source and target; a character it has not seen is UNKNOWN."""

    kind: ClassVar[str] = "characters"

    def __init__(self, characters: str, languages: Sequence[str] = ()) -> None:
        """Number `languages`, then `characters`, after END; raises `ConfigurationError` if one stands there twice."""
        for name, values in (("characters", list(characters)), ("languages", list(languages))):
            if len({*values}) != len(values):
                twice = next(value for value in values if values.count(value) > 1)
                raise ConfigurationError(f"the {name} of a character vocabulary must differ: {twice!r} is there twice")
        self.characters = characters
        self._languages = {language: FIRST_PIECE + number for number, language in enumerate(languages)}
        self._first = FIRST_PIECE + len(self._languages)
        self._pieces = {character: self._first + number for number, character in enumerate(characters)}

    @classmethod
    def train(cls, lines: Iterable[str], size: int | None = None, languages: Sequence[str] = ()) -> Self:
        """Take the characters of `lines`, the most frequent first, up to `size` pieces with marks and `languages`.

        Raises `ConfigurationError` if there is no character to take.
        """
        counts: Counter[str] = Counter()
        for line in lines:
            counts.update(line.translate(SPACE_FOR_CONTROL))
        room = len(counts) if size is None else size - FIRST_PIECE - len(languages)
        if not counts or room < 1:
            raise ConfigurationError(
                f"no character vocabulary can be made of {len(counts)} characters and {size or 'any number of'} "
                f"pieces, of which {FIRST_PIECE + len(languages)} are marks: check the corpus and the size"
            )
        # Among equally frequent ones the code point decides, so that the order of the corpus does not.
        ordered = sorted(counts, key=lambda character: (-counts[character], character))
        return cls("".join(ordered[:room]), languages)

    def __len__(self) -> int:
        return self._first + len(self.characters)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Pieces of each text, without begin or end marks; a control character counts as a space."""
        find = self._pieces.get
        return [[find(character, UNKNOWN) for character in text.translate(SPACE_FOR_CONTROL)] for text in texts]

    def decode(self, pieces: Sequence[Sequence[int]]) -> list[str]:
        """Text of each list of pieces: one line; marks are left out, UNKNOWN becomes the replacement character."""
        return ["".join(map(self._character, row)).translate(SPACE_FOR_CONTROL) for row in pieces]

    @property
    def languages(self) -> tuple[str, ...]:
        """The target languages that have a piece of their own."""
        return tuple(self._languages)

    def language_piece(self, language: str) -> int:
        """The piece that, put before the source, asks for `language`."""
        return self._languages[language] if language in self._languages else super().language_piece(language)

    def files(self) -> dict[str, bytes]:
        """One JSON object: the characters as one string, and the languages."""
        content = {"characters": self.characters, "languages": list(self._languages)}
        return {FILE: json.dumps(content).encode()}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Self:
        """Load what `files` gave; raises `ConfigurationError` if it is damaged."""
        stored = files[FILE]
        try:
            content = json.loads(stored)
            characters, languages = content["characters"], content["languages"]
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(f"{FILE} does not hold a character vocabulary: {error!r}") from error
        named = isinstance(languages, list) and all(isinstance(language, str) for language in languages)
        if not (isinstance(characters, str) and named):
            raise ConfigurationError(
                f"{FILE} must hold the characters as one text and the languages as a list of names"
            )
        return cls(characters, languages)

    def _character(self, piece: int) -> str:
        if piece == UNKNOWN:
            return REPLACEMENT
        return self.characters[piece - self._first] if piece >= self._first else ""
