"""Which target pieces a source piece becomes, and how often: IBM model 1. Knows pieces of pairs, no text and no file.

Brown et al. 1993, https://aclanthology.org/J93-2003: every target piece of a pair comes from one of its source pieces,
all places being equally likely; expectation maximisation finds p(target piece | source piece). The END of the source
stands for their empty word. Letters: L links (a target place with a source place of its pair), E entries (a target
piece with a source piece that some pair has both), T target places.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .encoding import EncodedPairs, PieceRows

# Links worked on at once; some 40 bytes each while they are.
LINKS_AT_ONCE = 1 << 22
# After the first pass, which only counts what stands together, so many target pieces of a source piece are followed up.
FOLLOWED = 400


@dataclass(frozen=True, slots=True)
class Lexicon:
    """p(target | source), entry by entry, by source piece and then target piece: three arrays (E,)."""

    sources: NDArray[np.int32]
    targets: NDArray[np.int32]
    probabilities: NDArray[np.float32]


def link_count(pairs: EncodedPairs) -> int:
    """How many links the pairs have: their work and, at 8 bytes each, most of the memory that `learn_lexicon` takes."""
    return int((pairs.sources.lengths.astype(np.int64) * _unmarked(pairs.targets)[1]).sum())


def learn_lexicon(pairs: EncodedPairs, target_size: int, iterations: int) -> Lexicon:
    """The lexicon of pairs, one at least, after so many passes over them; the marks of the targets do not count.

    The same pairs give the same lexicon.
    """
    links = _Links.of(pairs, target_size)
    for _ in range(iterations - 1):
        links.reestimate()
    return Lexicon(links.sources.numpy(), links.targets.numpy(), links.probabilities.numpy())


@dataclass(slots=True)
class _Links:
    """The entries, and of every link that belongs to one its entry (L,) and its target place (L,); int32 all."""

    sources: Tensor
    targets: Tensor
    probabilities: Tensor
    entries: Tensor
    places: Tensor
    place_count: int

    @classmethod
    def of(cls, pairs: EncodedPairs, target_size: int) -> Self:
        """Count what stands together, each source place of a pair having an equal share in each target place."""
        places = _SourcePlaces.of(pairs)
        found, known = [], 0
        for first, last in places.blocks():
            block = places.count(first, last, target_size)
            found.append((block.sources, block.targets, block.probabilities, block.entries + known, block.places))
            known += len(block.sources)
        sources, targets, probabilities, entries, linked = (
            torch.from_numpy(np.concatenate(part)) for part in zip(*found, strict=True)
        )
        return cls(sources, targets, probabilities, entries, linked, len(pairs.targets.pieces))

    def reestimate(self) -> None:
        """One pass of expectation maximisation."""
        totals = torch.zeros(self.place_count)  # (T,)
        for entries, places in self._chunks():
            totals.index_add_(0, places, self.probabilities[entries])
        counts = torch.zeros(len(self.sources), dtype=torch.float64)  # (E,)
        for entries, places in self._chunks():
            shares = self.probabilities[entries] / totals[places]
            counts.index_add_(0, entries, shares.double())
        self.probabilities = _by_source(counts, self.sources)

    def _chunks(self) -> Iterator[tuple[Tensor, Tensor]]:
        for first in range(0, len(self.entries), LINKS_AT_ONCE):
            part = slice(first, first + LINKS_AT_ONCE)
            yield self.entries[part], self.places[part]


@dataclass(frozen=True, slots=True)
class _Block:
    """The entries of some source pieces and the links that belong to them."""

    sources: NDArray[np.int32]
    targets: NDArray[np.int32]
    probabilities: NDArray[np.float32]
    entries: NDArray[np.int32]
    places: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class _SourcePlaces:
    """All source places of all pairs, by piece; of each its piece, the weight of its links and what it is linked to.

    It is linked to `counts` target places from `firsts` on: those of its pair.
    """

    pieces: NDArray[np.int64]
    weights: NDArray[np.float64]
    firsts: NDArray[np.int64]
    counts: NDArray[np.int64]
    targets: NDArray[np.int32]

    @classmethod
    def of(cls, pairs: EncodedPairs) -> Self:
        lengths = pairs.sources.lengths
        firsts, counts = _unmarked(pairs.targets)
        order = np.argsort(pairs.sources.pieces, kind="stable")
        rows = np.repeat(np.arange(len(lengths)), lengths)[order]
        pieces = pairs.sources.pieces[order].astype(np.int64)
        return cls(pieces, 1.0 / lengths[rows], firsts[rows], counts[rows], pairs.targets.pieces)

    def blocks(self) -> list[tuple[int, int]]:
        """Runs of places that together have about LINKS_AT_ONCE links; all places of a piece are in one."""
        ends = np.flatnonzero(np.append(np.diff(self.pieces), 1)) + 1
        done = np.cumsum(self.counts)[ends - 1]
        # The piece that fills a block up is its last.
        last = np.flatnonzero(np.diff(done // LINKS_AT_ONCE, append=-1))
        bounds = [0, *ends[last].tolist()]
        return list(itertools.pairwise(bounds))

    def count(self, first: int, last: int, target_size: int) -> _Block:
        """The entries of the places `first` to `last`, but for unlikely ones, and their links."""
        part = slice(first, last)
        counts = self.counts[part]
        before = np.cumsum(counts) - counts
        places = np.repeat(self.firsts[part] - before, counts) + np.arange(int(counts.sum()))
        keys = np.repeat(self.pieces[part] * target_size, counts) + self.targets[places]
        keys, entries = np.unique(keys, return_inverse=True)
        together = np.bincount(entries, np.repeat(self.weights[part], counts), len(keys)).astype(np.float64)
        sources, targets = (numbers.astype(np.int32) for numbers in np.divmod(keys, target_size))
        probabilities = _by_source(torch.from_numpy(together), torch.from_numpy(sources)).numpy()
        kept = likeliest(sources, probabilities, FOLLOWED)
        renumbered = np.where(kept, np.cumsum(kept) - 1, -1).astype(np.int32)[entries]
        linked = renumbered >= 0
        return _Block(
            sources[kept], targets[kept], probabilities[kept], renumbered[linked], places[linked].astype(np.int32)
        )


def likeliest(sources: NDArray[np.int32], probabilities: NDArray[np.float32], count: int) -> NDArray[np.bool_]:
    """Which entries (E,) are among the `count` likeliest of their source piece; `sources` ascend."""
    order = np.lexsort((-probabilities, sources))
    begins = np.searchsorted(sources, sources)
    kept = np.empty(len(sources), np.bool_)
    kept[order] = np.arange(len(sources)) - begins < count
    return kept


def _by_source(counts: Tensor, sources: Tensor) -> Tensor:
    """Counts (E,) as shares of their source piece."""
    totals = torch.zeros(int(sources.max()) + 1 if len(sources) else 0, dtype=torch.float64)
    totals.index_add_(0, sources, counts)
    return (counts / totals[sources]).float()


def _unmarked(targets: PieceRows) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of each row, without BEGIN and END, where it starts and how long it is."""
    starts = targets.starts
    return starts[:-1] + 1, np.diff(starts) - 2
