"""What segments in the running batch have in common, and the greedy one. Knows no core."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..decoding import Hypothesis
from ..vocabularies.vocabulary import BEGIN, END
from .core import ANY
from .request import Request


class RunningSegment(ABC):
    """A segment that is being decoded: the rows of its next step, and what becomes of their candidates.

    `pieces` and `parents` are those of the next step's rows (see `StepRows`), all at `position`; `width` is how many
    candidates it wants of each row.
    """

    __slots__ = ("position", "request", "segment")

    parents: list[int]
    pieces: list[int]

    def __init__(self, request: Request, segment: int) -> None:
        self.request = request
        self.segment = segment
        self.position = 0

    @property
    @abstractmethod
    def width(self) -> int: ...

    @abstractmethod
    def take(self, pieces: NDArray[np.int32], scores: NDArray[np.float32]) -> list[Hypothesis] | None:
        """Candidates of each row, best first (rows, W); returns the hypotheses once the search is over."""

    @property
    def must_end(self) -> bool:
        """Whether only END may come: its log-probability then counts as 0."""
        return self.position >= self.request.limit

    @property
    def forced(self) -> int:
        """The one piece that may come next, or ANY."""
        if self.must_end:
            return END
        prefix = self.request.options.prefix
        return prefix[self.position] if self.position < len(prefix) else ANY

    @property
    def is_endless(self) -> bool:
        """Whether END may not come yet."""
        return self.position < min(self.request.options.min_pieces, self.request.limit)

    def hypothesis(self, pieces: Sequence[int], scores: Sequence[float]) -> Hypothesis:
        """A finished one: `scores` are those of the pieces and of END."""
        score = self.request.options.finished_score(math.fsum(scores), len(pieces))
        return Hypothesis(tuple(pieces), score, tuple(scores))


class GreedySegment(RunningSegment):
    """One row that takes the likeliest piece at every step."""

    __slots__ = ("_scores", "_taken", "parents", "pieces")

    def __init__(self, request: Request, segment: int) -> None:
        super().__init__(request, segment)
        self.pieces: list[int] = [BEGIN]
        self.parents: list[int] = [0]
        self._taken: list[int] = []
        self._scores: list[float] = []

    @property
    def width(self) -> int:
        return 1

    def take(self, pieces: NDArray[np.int32], scores: NDArray[np.float32]) -> list[Hypothesis] | None:
        """See `RunningSegment.take`."""
        piece, score = int(pieces[0, 0]), 0.0 if self.must_end else float(scores[0, 0])
        self._scores.append(score)
        if piece == END:
            return [self.hypothesis(self._taken, self._scores)]
        self._taken.append(piece)
        self.pieces[0] = piece
        self.position += 1
        if self.must_end:
            return [self.hypothesis(self._taken, [*self._scores, 0.0])]
        return None
