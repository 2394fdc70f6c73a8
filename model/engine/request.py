"""What an engine is asked for: one segment, how to search, and where the answer goes. Knows no tensors."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..decoding import Hypothesis, SearchOptions

# From the `n_best` hypotheses of a segment, best first, to what its future holds; runs on the engine's thread.
Convert = Callable[[Sequence[Hypothesis]], Any]


@dataclass(frozen=True, slots=True)
class Request:
    """One segment to translate.

    `source` is what the network reads, with END; `limit` the longest translation in pieces, without END. Requests of
    a lower `priority` come first, those of one priority in the order in which they were submitted. `seed` tells
    segments apart when they are sampled. With a `shortlist` (ascending, END among them) only those pieces may come.
    """

    source: tuple[int, ...]
    options: SearchOptions
    limit: int
    convert: Convert
    priority: int = 0
    seed: int = 0
    shortlist: "NDArray[np.int32] | None" = None
    future: "Future[Any]" = field(default_factory=Future, compare=False)

    @property
    def beam_size(self) -> int:
        """How many rows of the running batch it takes."""
        return self.options.beam_size
