"""What an engine's arithmetic can do: encode segments, and step rows of them. Knows no queue and no strategy.

A segment that is decoded has one row in greedy search and K rows in a beam search. A core keeps, for each open segment,
what attention needs: keys and values of its source, and of the target so far of each of its rows. Letters: N rows of a
step, W candidates a row.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Any piece may come next.
ANY = -1


@dataclass(frozen=True, slots=True)
class NewSegment:
    """A segment to open: its source with END, how many rows it will have, the most target positions (with BEGIN).

    With a `shortlist` (ascending, END among them) only those pieces may come, and probabilities are over them alone.
    """

    source: Sequence[int]
    rows: int
    positions: int
    shortlist: NDArray[np.int32] | None = None


@dataclass(frozen=True, slots=True)
class StepRows:
    """The rows of a step: those of one segment stand together, in the order of their places. All arrays are (N,).

    `segments` are the numbers that `open` gave, int64; the others are int32. `places` number the rows of a segment
    from 0; a row goes on from the row that stood at the place `parents` in the step before (0 in the first step).
    `pieces` are the last pieces, BEGIN in the first step; `positions` count them from 0. `forced` is the one piece that
    may come next, or ANY; where `endless` is 1, END may not.
    """

    segments: NDArray[np.int64]
    places: NDArray[np.int32]
    parents: NDArray[np.int32]
    pieces: NDArray[np.int32]
    positions: NDArray[np.int32]
    forced: NDArray[np.int32]
    endless: NDArray[np.int32]


class Core(ABC):
    """Keeps open segments and steps rows of them; one thread uses it.

    What a row gets depends on its own segment only, bit for bit, where `is_invariant`. `name` is the engine and its
    arithmetic.
    """

    name: str
    is_invariant: bool

    @abstractmethod
    def bytes_of(self, segment: NewSegment) -> int:
        """What it takes, in bytes, to keep this segment open."""

    @abstractmethod
    def open(self, segments: Sequence[NewSegment]) -> list[int]:
        """Encode the sources and keep them; returns a number for each."""

    @abstractmethod
    def release(self, segments: Sequence[int]) -> None:
        """Forget these segments."""

    @abstractmethod
    def step(self, rows: StepRows, width: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The `width` likeliest next pieces of each row and their log-probabilities, best first: two of (N, W).

        PAD, UNKNOWN and BEGIN are never among them; probabilities are the network's own. Where fewer are allowed, the
        others have the log-probability -inf.
        """

    @abstractmethod
    def close(self) -> None:
        """Give back all memory; nothing may be called afterwards."""
