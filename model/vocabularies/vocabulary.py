"""What every vocabulary can do: text to pieces and back. Knows no tensors and no network."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, Self

from ...errors import ConfigurationError

# The first pieces of every vocabulary, whatever its kind; an import renumbers a foreign one.
PAD, UNKNOWN, BEGIN, END = 0, 1, 2, 3
# For `str.translate`. Line feeds and NUL among them: no translation needs them and not every reader can take them.
SPACE_FOR_CONTROL = dict.fromkeys(range(32), " ")


class Vocabulary(ABC):
    """Pieces of source and target; frozen once made, and safe to use from several threads."""

    kind: ClassVar[str]

    @abstractmethod
    def __len__(self) -> int:
        """How many target pieces there are, PAD, UNKNOWN, BEGIN and END among them."""

    @property
    def source_size(self) -> int:
        """How many source pieces there are, where they are not those of the target."""
        return len(self)

    @abstractmethod
    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Source pieces of each text, without begin or end marks."""

    def encode_target(self, texts: Sequence[str]) -> list[list[int]]:
        """Target pieces of each text; the same as `encode` where source and target share their pieces."""
        return self.encode(texts)

    def sample(self, texts: Sequence[str], alpha: float, seed: int) -> list[list[int]]:  # noqa: ARG002
        """Pieces of each text, cut at random (subword regularisation); `encode` where a kind has no choice.

        The same texts, `alpha` and `seed` give the same pieces, in any process and beside any other thread.
        """
        return self.encode(texts)

    @abstractmethod
    def decode(self, pieces: Sequence[Sequence[int]]) -> list[str]:
        """Text of each list of target pieces: one line, whatever the pieces."""

    @property
    def languages(self) -> tuple[str, ...]:
        """The target languages that have a piece of their own; empty in a vocabulary of one language pair."""
        return ()

    def language_piece(self, language: str) -> int:
        """The piece that, put before the source, asks for `language`; raises `ConfigurationError` without one."""
        raise ConfigurationError(f"the vocabulary has no piece for the target language {language!r}")

    @abstractmethod
    def files(self) -> dict[str, bytes]:
        """What a checkpoint stores of it, by file name."""

    @classmethod
    @abstractmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Self:
        """The vocabulary that `files` gave; raises `ConfigurationError` if they are damaged."""
