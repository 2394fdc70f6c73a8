"""How often an epoch takes each pair of a file. Pure arithmetic.

A pair with phase u (between 0 and 1) is taken floor((e + 1) w + u) - floor(e w + u) times in epoch e: over E epochs
E w times, rounded up or down, whatever the weight w. Phases go round by the golden ratio, so that each epoch takes
close to its share of any stretch of the file: with weight 0.5 one half now, the other half in the next epoch.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

# 2^32 divided by the golden ratio; phases are multiples of 2^-32, so that sums with an epoch number stay exact.
GOLDEN_STEP, PHASES = 2654435769, 2**32


def times_taken(first: int, stop: int, weight: float, epoch: int, offset: int) -> NDArray[np.int64]:
    """How often the pairs `first` to `stop` (counted within the file) are taken; `offset` turns all phases."""
    numbers = np.arange(first, stop, dtype=np.uint64) * np.uint64(GOLDEN_STEP) + np.uint64(offset)
    phases = (numbers % np.uint64(PHASES)).astype(np.float64) / PHASES
    taken: NDArray[np.int64] = (np.floor((epoch + 1) * weight + phases) - np.floor(epoch * weight + phases)).astype(
        np.int64
    )
    return taken


def phase_offset(seed: int, file: int) -> int:
    """An offset of its own for each file of a corpus."""
    return int.from_bytes(hashlib.blake2b(f"{seed} {file}".encode(), digest_size=4).digest(), "little")
