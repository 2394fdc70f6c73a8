"""SentencePiece vocabulary: unigram or BPE with byte fallback. Knows no tensors and no network.

SentencePiece: Kudo and Richardson 2018, https://aclanthology.org/D18-2012; subword regularisation: Kudo 2018,
arXiv:1804.10959; a piece that names the target language: Johnson et al. 2017, arXiv:1611.04558.
"""

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Literal, Self

import sentencepiece

from ...errors import ConfigurationError
from .vocabulary import BEGIN, END, PAD, UNKNOWN, Vocabulary

FILE = "tokenizer.model"
# Byte pieces can spell line feeds and NUL, which no translation needs and not every reader can take.
SPACE_FOR_CONTROL = dict.fromkeys(range(32), " ")
LANGUAGE_PIECE = "<2{}>"
_LANGUAGE = re.compile(r"<2(.+)>")


class SubwordVocabulary(Vocabulary):
    """One joint vocabulary for source and target; every string can be encoded (byte fallback)."""

    kind: ClassVar[str] = "subwords"

    def __init__(self, serialized: bytes) -> None:
        """Load from the bytes of a SentencePiece model; raises `ConfigurationError` if they are not one."""
        self.serialized = serialized
        self._processor = sentencepiece.SentencePieceProcessor()
        try:
            self._processor.LoadFromSerializedProto(serialized)
        except RuntimeError as error:
            raise ConfigurationError(f"not a SentencePiece model: {error}") from error
        special = self._processor
        ids = special.pad_id(), special.unk_id(), special.bos_id(), special.eos_id()
        if ids != (PAD, UNKNOWN, BEGIN, END):
            raise ConfigurationError("the SentencePiece model must number pad, unk, bos, eos as 0, 1, 2, 3")
        self._languages = self._find_languages()

    @classmethod
    def train(
        cls,
        lines: Iterable[str],
        size: int,
        languages: Sequence[str] = (),
        algorithm: Literal["unigram", "bpe"] = "unigram",
    ) -> Self:
        """Learn `size` pieces from `lines`; each of `languages` gets a piece that asks for it as target."""
        model = io.BytesIO()
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(lines),
                model_writer=model,
                model_type=algorithm,
                vocab_size=size,
                character_coverage=1.0,
                byte_fallback=True,
                pad_id=PAD,
                unk_id=UNKNOWN,
                bos_id=BEGIN,
                eos_id=END,
                control_symbols=[LANGUAGE_PIECE.format(language) for language in languages],
                minloglevel=2,
            )
        except RuntimeError as error:
            raise ConfigurationError(
                f"no vocabulary of {size} pieces can be learned from this corpus: {error}"
            ) from error
        return cls(model.getvalue())

    def __len__(self) -> int:
        return int(self._processor.get_piece_size())

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Pieces of each text, without begin or end marks."""
        pieces: list[list[int]] = self._processor.encode(list(texts))
        return pieces

    def decode(self, pieces: Sequence[Sequence[int]]) -> list[str]:
        """Text of each list of pieces: one line, whatever the pieces."""
        texts: list[str] = self._processor.decode([list(row) for row in pieces])
        return [text.translate(SPACE_FOR_CONTROL) for text in texts]

    @property
    def languages(self) -> tuple[str, ...]:
        """The target languages that have a piece of their own."""
        return tuple(self._languages)

    def language_piece(self, language: str) -> int:
        """The piece that, put before the source, asks for `language`."""
        return self._languages[language] if language in self._languages else super().language_piece(language)

    def files(self) -> dict[str, bytes]:
        """The SentencePiece model."""
        return {FILE: self.serialized}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Self:
        """Load what `files` gave."""
        return cls(files[FILE])

    def _find_languages(self) -> dict[str, int]:
        control = (i for i in range(len(self)) if self._processor.is_control(i))
        found = ((_LANGUAGE.fullmatch(self._processor.id_to_piece(i)), i) for i in control)
        return {match[1]: i for match, i in found if match}
