"""A segment in beam search, step by step. Knows no core: it is told candidates and says how its rows go on.

The rules are those of `decoding.beam`, segment by segment. Letters: K beam size, W candidates a row.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..decoding import Hypothesis
from ..vocabularies.vocabulary import BEGIN, END
from .request import Request
from .running import RunningSegment

NEVER = float("-inf")


class BeamSegment(RunningSegment):
    """One row at first, then K; see `RunningSegment`."""

    __slots__ = ("_finished", "_steps", "_totals", "parents", "pieces")

    def __init__(self, request: Request, segment: int) -> None:
        super().__init__(request, segment)
        self.pieces: list[int] = [BEGIN]
        self.parents: list[int] = [0]
        self._totals: NDArray[np.float32] = np.zeros(1, np.float32)
        # Of each step the parents, pieces and log-probabilities of the rows that went on.
        self._steps: list[tuple[list[int], list[int], list[float]]] = []
        self._finished: list[Hypothesis] = []

    @property
    def width(self) -> int:
        return 2 * self.request.options.beam_size

    def take(self, pieces: NDArray[np.int32], scores: NDArray[np.float32]) -> list[Hypothesis] | None:
        """Candidates of each row, best first (K, W); returns the hypotheses once the search is over."""
        beam_size = self.request.options.beam_size
        if self.must_end:
            # END, the first candidate, then says nothing of the translation; there is no other.
            scores = np.where(np.arange(self.width) == 0, np.float32(0), np.float32(NEVER))[None].repeat(len(scores), 0)
        totals = (scores + self._totals[:, None]).ravel()
        best = np.argsort(-totals, kind="stable")[: 2 * beam_size]
        columns = (totals[best], best // self.width, pieces.ravel()[best], scores.ravel()[best])
        candidates = list(zip(*(column.tolist() for column in columns), strict=True))
        for total, row, piece, score in candidates[:beam_size]:
            if piece == END and total > NEVER:
                self._finish(row, score)
        self._go_on([candidate for candidate in candidates if candidate[2] != END][:beam_size], candidates[0])
        if not self._is_done():
            if not self.must_end:
                return None
            self._finish_all()
        return self._finished[: self.request.options.n_best]

    def _go_on(self, running: Sequence[tuple[float, int, int, float]], spare: tuple[float, int, int, float]) -> None:
        """The rows of the next step; copies that can never win fill the beam up."""
        missing = self.request.options.beam_size - len(running)
        if missing:
            first = running[0] if running else spare
            running = [*running, *[(NEVER, *first[1:])] * missing]
        real = [one if one[0] > NEVER else (NEVER, *running[0][1:]) for one in running]
        self._totals = np.array([one[0] for one in real], np.float32)
        self.parents = [one[1] for one in real]
        self.pieces = [one[2] for one in real]
        self._steps.append((self.parents, self.pieces, [one[3] for one in real]))
        self.position += 1

    def _is_done(self) -> bool:
        options, best = self.request.options, float(self._totals[0])
        if best == NEVER:
            return True
        if len(self._finished) < options.beam_size:
            return False
        return bool(best / self.position**options.length_penalty <= self._finished[-1].score)

    def _finish_all(self) -> None:
        """At the limit every row ends: no step is needed to know."""
        for row, total in enumerate(self._totals.tolist()):
            if total > NEVER:
                self._finish(row, 0.0)

    def _finish(self, row: int, score: float) -> None:
        """The hypothesis that ends here: the way back from `row` to the first step."""
        pieces, scores = [], [score]
        for parents, step_pieces, step_scores in reversed(self._steps):
            pieces.append(step_pieces[row])
            scores.append(step_scores[row])
            row = parents[row]
        self._finished.append(self.hypothesis(pieces[::-1], scores[::-1]))
        self._finished.sort(key=lambda one: -one.score)
        del self._finished[self.request.options.beam_size :]
