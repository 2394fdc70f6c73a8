"""SentencePiece tokenizer: text to pieces and back. Knows no tensors and no network.

SentencePiece: Kudo and Richardson 2018, https://aclanthology.org/D18-2012.
"""

import io
from collections.abc import Iterable, Sequence
from typing import Self

import sentencepiece

from ..errors import ConfigurationError

PAD, UNKNOWN, BEGIN, END = 0, 1, 2, 3
# Byte pieces can spell line feeds and NUL, which no translation needs and not every reader can take.
SPACE_FOR_CONTROL = dict.fromkeys(range(32), " ")


class Tokenizer:
    """One joint vocabulary for source and target; every string can be encoded (byte fallback)."""

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

    @classmethod
    def train(cls, lines: Iterable[str], vocabulary_size: int) -> Self:
        """Learn a unigram vocabulary of `vocabulary_size` pieces from `lines`."""
        model = io.BytesIO()
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(lines),
                model_writer=model,
                vocab_size=vocabulary_size,
                character_coverage=1.0,
                byte_fallback=True,
                pad_id=PAD,
                unk_id=UNKNOWN,
                bos_id=BEGIN,
                eos_id=END,
                minloglevel=2,
            )
        except RuntimeError as error:
            raise ConfigurationError(
                f"no vocabulary of {vocabulary_size} pieces can be learned from this corpus: {error}"
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
