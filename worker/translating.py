"""What the worker asks of a model. Knows no network; `model.translator.Translator` is one, `EchoTranslator` another."""

from collections.abc import Sequence
from typing import Protocol

from ..model.decoding import SearchOptions
from ..model.translator import Translation


class SegmentTranslator(Protocol):
    """Pieces in, translations out; `encode` may be called from another thread than `translate_pieces`."""

    @property
    def version(self) -> str: ...

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]: ...

    @property
    def max_source_pieces(self) -> int: ...

    def encode(self, texts: Sequence[str], target: str) -> list[list[int]]: ...

    def translate_pieces(self, sources: Sequence[Sequence[int]], options: SearchOptions) -> list[Translation]: ...


class EchoTranslator:
    """Gives back the source text: for tests of the loop and for measuring what the pipeline itself costs."""

    version = "echo@0"
    pairs: tuple[tuple[str, str], ...] = (("en", "fr"),)
    max_source_pieces = 400

    def encode(self, texts: Sequence[str], target: str) -> list[list[int]]:  # noqa: ARG002
        """One piece a character."""
        return [[ord(character) for character in text] for text in texts]

    def translate_pieces(self, sources: Sequence[Sequence[int]], options: SearchOptions) -> list[Translation]:  # noqa: ARG002
        """The text whose characters the pieces are."""
        return [Translation("".join(map(chr, source)), 0.0, len(source), len(source)) for source in sources]
