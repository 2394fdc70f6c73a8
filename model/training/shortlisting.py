"""Learns a shortlist from a corpus. Knows streams of pairs, a vocabulary and the lexicon."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...errors import ConfigurationError
from ..corpora.corpus_file import LabelledPair
from ..corpora.stream import PairStream
from ..shortlist import Shortlist
from ..vocabularies.vocabulary import END, Vocabulary
from .encoding import PAIRS_AT_ONCE, EncodedPairs, PieceRows, encode_pairs
from .lexicon import Lexicon, learn_lexicon, likeliest, link_count

# Pairs that are encoded, evenly drawn from the corpus, and links (see `lexicon`) of those that are learned from: more
# make no better shortlist soon, and 80 million take 650 MB and half a minute.
MAX_PAIRS, MAX_LINKS = 500_000, 80_000_000
# Longer sides are rarely translations piece by piece, and have links by the square of their length.
MAX_PIECES = 100
# Passes of expectation maximisation; the order of the likeliest pieces hardly changes after these.
ITERATIONS = 5
# What is less likely than this comes by chance.
LEAST_PROBABILITY = 1e-4


@dataclass(frozen=True, slots=True)
class ShortlistOptions:
    """Up to `best` likeliest target pieces of each source piece, and the `frequent` most frequent ones of all.

    Raises `ConfigurationError` for numbers that make no shortlist.
    """

    best: int = 50
    frequent: int = 100

    def __post_init__(self) -> None:
        if self.best < 1 or self.frequent < 0:
            raise ConfigurationError(
                f"a shortlist of the {self.best} likeliest and {self.frequent} frequent pieces holds nothing: take at "
                "least 1 and 0"
            )


def learn_shortlist(stream: PairStream, vocabulary: Vocabulary, options: ShortlistOptions) -> Shortlist:
    """Learn it from a sample of a corpus; the same corpus gives the same one.

    Raises `ConfigurationError` for a corpus that is empty, or whose target language the vocabulary does not have.
    """
    return shortlist_of(encoded_sample(stream, vocabulary), vocabulary, options)


def shortlist_of(pairs: EncodedPairs, vocabulary: Vocabulary, options: ShortlistOptions) -> Shortlist:
    """The shortlist of encoded pairs."""
    frequent = _frequent(pairs.targets, len(vocabulary), options.frequent)
    lexicon = _without(learn_lexicon(pairs, len(vocabulary), ITERATIONS), frequent)
    kept = likeliest(lexicon.sources, lexicon.probabilities, options.best)
    sources, targets = lexicon.sources[kept], lexicon.targets[kept]
    sources, targets = _with_copies(sources, targets, pairs.sources, vocabulary)
    counts = np.bincount(sources, minlength=vocabulary.source_size)
    starts = np.concatenate(([0], np.cumsum(counts))).astype(np.int32)
    return Shortlist(starts, targets, frequent)


def encoded_sample(stream: PairStream, vocabulary: Vocabulary) -> EncodedPairs:
    """Pairs drawn evenly from the corpus, always the same; raises `ConfigurationError` if all are too long."""
    step = -(-stream.size(0) // MAX_PAIRS)
    sample: Iterator[LabelledPair] = itertools.islice(stream.epoch(0), 0, None, max(1, step))
    parts = []

    def encode(pairs: Sequence[LabelledPair]) -> tuple[list[list[int]], list[list[int]]]:
        sources, targets = [pair.source for pair in pairs], [pair.target for pair in pairs]
        return vocabulary.encode(sources), vocabulary.encode_target(targets)

    while some := list(itertools.islice(sample, PAIRS_AT_ONCE)):
        parts.append(encode_pairs(some, vocabulary, encode, MAX_PIECES))
    pairs = EncodedPairs.together(parts)
    if not len(pairs):
        raise ConfigurationError(f"no pair of the corpus has at most {MAX_PIECES} pieces on both sides")
    return _thinned(pairs)


def _thinned(pairs: EncodedPairs) -> EncodedPairs:
    """Every so manieth pair, so that they have no more than MAX_LINKS links."""
    step = -(-link_count(pairs) // MAX_LINKS)
    if step <= 1:
        return pairs
    kept = range(0, len(pairs), step)
    sources, targets = ([rows.row(place) for place in kept] for rows in (pairs.sources, pairs.targets))
    return EncodedPairs(PieceRows.joined(sources), PieceRows.joined(targets), pairs.dropped)


def _frequent(targets: PieceRows, target_size: int, count: int) -> NDArray[np.int32]:
    """END and the `count` most frequent pieces, ascending."""
    occurrences = np.bincount(targets.pieces, minlength=target_size)
    occurrences[: END + 1] = 0
    order = np.argsort(-occurrences, kind="stable")[:count]
    return np.sort(np.append(order[occurrences[order] > 0], END)).astype(np.int32)


def _without(lexicon: Lexicon, frequent: NDArray[np.int32]) -> Lexicon:
    """What is worth storing: marks have no row, and frequent pieces come anyway."""
    kept = (lexicon.sources != END) & (lexicon.targets > END) & (lexicon.probabilities >= LEAST_PROBABILITY)
    kept &= ~np.isin(lexicon.targets, frequent)
    return Lexicon(lexicon.sources[kept], lexicon.targets[kept], lexicon.probabilities[kept])


def _with_copies(
    sources: NDArray[np.int32], targets: NDArray[np.int32], seen: PieceRows, vocabulary: Vocabulary
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """A source piece that was never seen becomes itself, where source and target share their pieces."""
    if not getattr(vocabulary, "is_shared", True):
        return sources, targets
    unseen = np.ones(vocabulary.source_size, np.bool_)
    unseen[seen.pieces] = False
    unseen[: END + 1] = False
    copies = np.flatnonzero(unseen).astype(np.int32)
    sources, targets = np.concatenate([sources, copies]), np.concatenate([targets, copies])
    order = np.argsort(sources, kind="stable")
    return sources[order], targets[order]
