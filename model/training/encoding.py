"""Pairs as pieces, many in little memory. Knows a vocabulary and no tensors.

A Python list of pieces takes 36 bytes a piece; a pool holds them as one array of 4 bytes each.
"""

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..corpora.corpus_file import LabelledPair
from ..vocabularies.vocabulary import BEGIN, END, Vocabulary

Numbers = NDArray[np.int32]
# Gives (source pieces, target pieces) of pairs, without marks.
Encoder = Callable[[Sequence[LabelledPair]], tuple[list[list[int]], list[list[int]]]]
# Pairs encoded at once: enough to be quick, few enough to stop soon.
PAIRS_AT_ONCE = 2048


@dataclass(frozen=True, slots=True)
class Example:
    """Pieces of one pair: source ends with END; target begins with BEGIN and ends with END."""

    source: list[int]
    target: list[int]


@dataclass(frozen=True, slots=True)
class PieceRows:
    """Rows of pieces, end to end: row i is `pieces[starts[i] : starts[i + 1]]`."""

    pieces: Numbers
    starts: NDArray[np.int64]

    @classmethod
    def joined(cls, rows: Iterable[Sequence[int]]) -> "PieceRows":
        """Rows in one array."""
        held = list(rows)
        lengths = np.fromiter(map(len, held), dtype=np.int64, count=len(held))
        pieces = np.fromiter(itertools.chain.from_iterable(held), dtype=np.int32, count=int(lengths.sum()))
        return cls(pieces, np.concatenate(([0], np.cumsum(lengths))))

    @classmethod
    def together(cls, parts: Sequence["PieceRows"]) -> "PieceRows":
        """The rows of all parts."""
        lengths = [part.lengths for part in parts]
        starts = np.concatenate(([0], np.cumsum(np.concatenate([np.zeros(0, dtype=np.int64), *lengths]))))
        return cls(np.concatenate([np.zeros(0, dtype=np.int32), *(part.pieces for part in parts)]), starts)

    @property
    def lengths(self) -> Numbers:
        """How many pieces each row has."""
        return np.diff(self.starts).astype(np.int32)

    def row(self, index: int) -> list[int]:
        """One row as a list."""
        pieces: list[int] = self.pieces[self.starts[index] : self.starts[index + 1]].tolist()
        return pieces


@dataclass(frozen=True, slots=True)
class EncodedPairs:
    """Pairs with all their marks, and how many were dropped for having too many pieces."""

    sources: PieceRows
    targets: PieceRows
    dropped: int

    def __len__(self) -> int:
        return len(self.sources.starts) - 1

    def example(self, index: int) -> Example:
        """One pair as lists."""
        return Example(self.sources.row(index), self.targets.row(index))

    @classmethod
    def together(cls, parts: Sequence["EncodedPairs"]) -> "EncodedPairs":
        """The pairs of all parts."""
        sources = PieceRows.together([part.sources for part in parts])
        targets = PieceRows.together([part.targets for part in parts])
        return cls(sources, targets, sum(part.dropped for part in parts))


def encode_pairs(
    pairs: Sequence[LabelledPair], vocabulary: Vocabulary, encoder: Encoder, max_pieces: int
) -> EncodedPairs:
    """Encode, leave out pairs with a side of more than `max_pieces`, and put the marks on.

    Raises `ConfigurationError` if the vocabulary asks for languages by a piece and has none for a target language.
    """
    prefixes = _language_pieces(pairs, vocabulary)
    sources, targets = encoder(pairs)
    fitting = [
        place
        for place, (source, target) in enumerate(zip(sources, targets, strict=True))
        if max(len(source), len(target)) <= max_pieces
    ]
    return EncodedPairs(
        PieceRows.joined((*prefixes[pairs[i].target_language], *sources[i], END) for i in fitting),
        PieceRows.joined((BEGIN, *targets[i], END) for i in fitting),
        len(pairs) - len(fitting),
    )


def _language_pieces(pairs: Sequence[LabelledPair], vocabulary: Vocabulary) -> dict[str, tuple[int, ...]]:
    languages = {pair.target_language for pair in pairs}
    if not vocabulary.languages:
        return dict.fromkeys(languages, ())
    return {language: (vocabulary.language_piece(language),) for language in languages}
