"""Which pairs of a pool go into a batch together. Pure arithmetic on lengths.

Pairs are sorted by their longer side and, among those, back and forth by how much longer the source is than the
target: neighbours then differ little on either side, where sorting by one side leaves the other to chance.
"""

import random
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..batching import BatchLimits, pack

Numbers = NDArray[np.int32]


def packed(source: Numbers, target: Numbers, batch_tokens: int, generator: random.Random) -> list[Numbers]:
    """Indices of pairs by batch, in random order; `batch_tokens` bounds rows times the longest row of either side.

    Pairs of equal lengths are in random order too, so that batches differ from epoch to epoch.
    """
    order = np.random.default_rng(generator.getrandbits(64)).permutation(len(source)).astype(np.int32)
    longer, difference = np.maximum(source, target)[order], (source - target)[order]
    order = order[np.lexsort((np.where(longer % 2, -difference, difference), longer))]
    longest = np.maximum(source, target)[order].tolist()
    batches = [order[run.start : run.stop] for run in pack(longest, BatchLimits(batch_tokens, rows=batch_tokens))]
    generator.shuffle(batches)
    return batches


def divisible(batches: list[Numbers], ranks: int) -> list[Numbers]:
    """The same pairs in as many batches as `ranks` divides: the largest are halved.

    Where each batch is down to one pair, fewer pairs than ranks are left out: the last ones, others in another order.
    """
    missing = -len(batches) % ranks
    while missing:
        largest = sorted(range(len(batches)), key=lambda place: -len(batches[place]))[:missing]
        halves = [half for place in largest for half in _halved(batches[place])]
        if len(halves) == len(largest):
            return batches[: len(batches) - len(batches) % ranks]
        batches = [batch for place, batch in enumerate(batches) if place not in set(largest)] + halves
        missing = -len(batches) % ranks
    return batches


def _halved(batch: Numbers) -> Iterator[Numbers]:
    middle = (len(batch) + 1) // 2
    yield batch[:middle]
    if middle < len(batch):
        yield batch[middle:]
