"""Words cut into pieces at random, by a generator of the caller's. Knows no texts and no files.

SentencePiece can draw cuts itself, but salts its generator in every process (0.2.3): a run that goes on in another one
would see other pieces. Whitespace parts pieces in its models, so each word can be cut by itself.
"""

import math
import random
from bisect import bisect
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple, Protocol

import sentencepiece

from .vocabulary import UNKNOWN

SPACE = "▁"
# Kudo 2018 draws from the 64 likeliest cuts of a sentence; here they are those of a word.
LIKELIEST_CUTS = 64
# A corpus has some 100,000 words that come again; names and numbers would fill the memory.
REMEMBERED_WORDS = 200_000


class WordCuts(Protocol):
    """How words are cut at random."""

    def draw(self, word: str, numbers: random.Random) -> Sequence[int]:
        """Pieces of a word without spaces, as it is after normalisation."""
        ...


def word_cuts(processor: sentencepiece.SentencePieceProcessor, alpha: float) -> WordCuts:
    """The cuts of the algorithm that the model was learned with."""
    try:
        processor.nbest_encode("a", nbest_size=1)
    except RuntimeError:  # "NBestEncode is not available for the current model"
        return BpeDropout(processor, alpha)
    return LikelyCuts(processor, alpha)


class _Cuts(NamedTuple):
    """The likeliest cuts of a word, and the sums of their weights up to each."""

    pieces: list[list[int]]
    cumulative: list[float]


class LikelyCuts:
    """Unigram: a cut is drawn with its probability to the power of `alpha` (Kudo 2018, arXiv:1804.10959)."""

    def __init__(self, processor: sentencepiece.SentencePieceProcessor, alpha: float) -> None:
        self._processor = processor
        self._alpha = alpha
        self._words: dict[str, _Cuts] = {}

    def draw(self, word: str, numbers: random.Random) -> Sequence[int]:
        """See `WordCuts`."""
        cuts = self._words.get(word) or self._cuts(word)
        return cuts.pieces[bisect(cuts.cumulative, numbers.random() * cuts.cumulative[-1], hi=len(cuts.pieces) - 1)]

    def _cuts(self, word: str) -> _Cuts:
        pieces: list[list[int]] = self._processor.nbest_encode(word, nbest_size=LIKELIEST_CUTS)
        # The bytes of a character without a piece count nothing; they are in each of its cuts.
        scores = [sum(map(self._processor.get_score, cut)) for cut in pieces]
        best = max(scores)
        cuts = _Cuts(pieces, list(accumulate(math.exp(self._alpha * (score - best)) for score in scores)))
        if len(self._words) >= REMEMBERED_WORDS:
            self._words.clear()
        self._words[word] = cuts
        return cuts


class BpeDropout:
    """BPE: each step leaves a possible merge out with probability `alpha` (Provilkov et al. 2020, arXiv:1910.13267)."""

    def __init__(self, processor: sentencepiece.SentencePieceProcessor, alpha: float) -> None:
        self._alpha = alpha
        numbers = range(processor.get_piece_size())
        self._bytes = {processor.id_to_piece(n): n for n in numbers if processor.is_byte(n)}
        special = [n for n in numbers if processor.is_control(n) or processor.is_unknown(n) or processor.is_byte(n)]
        plain = set(numbers).difference(special)
        self._pieces = {processor.id_to_piece(n): n for n in plain}
        self._scores = {processor.id_to_piece(n): processor.get_score(n) for n in plain}

    def draw(self, word: str, numbers: random.Random) -> Sequence[int]:
        """See `WordCuts`."""
        symbols = [*(SPACE + word)]
        while merges := self._kept_merges(symbols, numbers):
            _, place = max(merges)
            symbols[-place : 2 - place] = ["".join(symbols[-place : 2 - place])]
        return [number for symbol in symbols for number in self._numbers(symbol)]

    def _kept_merges(self, symbols: list[str], numbers: random.Random) -> list[tuple[float, int]]:
        """Score and negative place of each: of two with the same score, the first is the greater."""
        pairs = ((first + second, -place) for place, (first, second) in enumerate(pairwise(symbols)))
        known = ((self._scores[pair], place) for pair, place in pairs if pair in self._scores)
        return [merge for merge in known if numbers.random() >= self._alpha]

    def _numbers(self, symbol: str) -> list[int]:
        if symbol in self._pieces:
            return [self._pieces[symbol]]
        return [self._bytes.get(f"<0x{byte:02X}>", UNKNOWN) for byte in symbol.encode()]
