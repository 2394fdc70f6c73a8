"""Vocabulary of an imported Marian model: two SentencePiece models that cut text, and lists that number the pieces.

Marian (Junczys-Dowmunt et al. 2018, https://aclanthology.org/P18-4020) numbers its pieces apart from SentencePiece;
OPUS-MT (Tiedemann and Thottingal 2020, https://aclanthology.org/2020.eamt-1.61) puts a piece such as `>>fra<<` before
the source of a model of several target languages. Knows no tensors and no network.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import ClassVar, Self

import sentencepiece

from ...errors import ConfigurationError
from .language_codes import short_code
from .vocabulary import END, SPACE_FOR_CONTROL, UNKNOWN, Vocabulary

SOURCE_MODEL, TARGET_MODEL, PIECES = "source.spm", "target.spm", "pieces.json"
# Pieces are numbered from here on, in Marian's order; PAD, UNKNOWN, BEGIN, END come before.
FIRST_PIECE = END + 1
_LANGUAGE = re.compile(r">>(.+)<<")
_SPACE = "▁"


class MarianVocabulary(Vocabulary):
    """Pieces of an imported Marian model. A text is text: nothing that it spells becomes a mark or a language piece."""

    kind: ClassVar[str] = "marian"

    def __init__(
        self,
        models: tuple[bytes, bytes],
        source_pieces: Sequence[str],
        target_pieces: Sequence[str] | None = None,
    ) -> None:
        """Take the SentencePiece models of source and target, and the pieces that follow END, in order.

        Without `target_pieces` source and target share theirs. Raises `ConfigurationError` for bytes that are no
        SentencePiece model.
        """
        self.models = models
        self.source_pieces = tuple(source_pieces)
        self.target_pieces = self.source_pieces if target_pieces is None else tuple(target_pieces)
        self.is_shared = target_pieces is None
        self._cut_source, self._cut_target = (
            _processor(name, model) for name, model in zip((SOURCE_MODEL, TARGET_MODEL), models, strict=True)
        )
        self._source_ids = _numbered(self.source_pieces)
        self._target_ids = _numbered(self.target_pieces)
        self._languages = _find_languages(self._source_ids)

    def __len__(self) -> int:
        return FIRST_PIECE + len(self.target_pieces)

    @property
    def source_size(self) -> int:
        """How many source pieces there are; `len` counts those of the target."""
        return FIRST_PIECE + len(self.source_pieces)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Source pieces of each text; one that Marian does not number is UNKNOWN."""
        return _look_up(self._cut_source.encode(list(texts), out_type=str), self._source_ids)

    def encode_target(self, texts: Sequence[str]) -> list[list[int]]:
        """Target pieces of each text; one that Marian does not number is UNKNOWN."""
        return _look_up(self._cut_target.encode(list(texts), out_type=str), self._target_ids)

    def decode(self, pieces: Sequence[Sequence[int]]) -> list[str]:
        """Text of each list of target pieces, without marks: one line, whatever the pieces."""
        return [self._decode(row) for row in pieces]

    @property
    def languages(self) -> tuple[str, ...]:
        """The target languages that have a piece of their own, by two letters where they have such a name."""
        return tuple(self._languages)

    def language_piece(self, language: str) -> int:
        """The piece that asks for `language`, named by two letters or as Marian names it."""
        name = short_code(language)
        return self._languages[name] if name in self._languages else super().language_piece(language)

    def files(self) -> dict[str, bytes]:
        """Both SentencePiece models and the lists of pieces."""
        pieces = {"source": self.source_pieces, "target": None if self.is_shared else self.target_pieces}
        source, target = self.models
        listed = json.dumps(pieces, ensure_ascii=False).encode()
        return {SOURCE_MODEL: source, TARGET_MODEL: target, PIECES: listed}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Self:
        """Load what `files` gave; raises `ConfigurationError` if they are damaged."""
        try:
            pieces = json.loads(files[PIECES])
            source, target = pieces["source"], pieces["target"]
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(f"{PIECES} does not list the pieces of a Marian vocabulary: {error}") from error
        if not (_are_pieces(source) and (target is None or _are_pieces(target))):
            raise ConfigurationError(f"{PIECES} must list the pieces of source and target, each once")
        return cls((files[SOURCE_MODEL], files[TARGET_MODEL]), source, target)

    def _decode(self, row: Sequence[int]) -> str:
        pieces = [self.target_pieces[piece - FIRST_PIECE] for piece in row if piece >= FIRST_PIECE]
        text: str = self._cut_target.decode_pieces(pieces)
        # A piece that target.spm does not have (it may be one of the source) keeps its space mark.
        return text.replace(_SPACE, " ").translate(SPACE_FOR_CONTROL).strip()


def _processor(name: str, model: bytes) -> sentencepiece.SentencePieceProcessor:
    processor = sentencepiece.SentencePieceProcessor()
    try:
        processor.LoadFromSerializedProto(model)
    except RuntimeError as error:
        raise ConfigurationError(f"{name} is not a SentencePiece model: {error}") from error
    return processor


def _numbered(pieces: Sequence[str]) -> dict[str, int]:
    return {piece: number for number, piece in enumerate(pieces, FIRST_PIECE)}


def _look_up(rows: Sequence[Sequence[str]], ids: Mapping[str, int]) -> list[list[int]]:
    return [[ids.get(piece, UNKNOWN) for piece in row] for row in rows]


def _find_languages(ids: Mapping[str, int]) -> dict[str, int]:
    found = ((_LANGUAGE.fullmatch(piece), number) for piece, number in ids.items())
    return {short_code(match[1]): number for match, number in found if match}


def _are_pieces(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(piece, str) for piece in value) and len({*value}) == len(value)
