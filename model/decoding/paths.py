"""The way each running row has come: its pieces, their scores, where they looked. Knows no strategy.

Letters: N running rows, T pieces so far, S source length.
"""

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from .hypothesis import Hypothesis
from .options import SearchOptions


@dataclass(frozen=True, slots=True)
class Paths:
    """Pieces (N, T), their log-probabilities (N, T) and, if it is kept, their attention (N, T, S)."""

    pieces: Tensor
    scores: Tensor
    attention: Tensor | None = None

    @classmethod
    def begin(cls, rows: int, device: torch.device) -> Self:
        """Rows that have come no way yet."""
        return cls(torch.empty(rows, 0, dtype=torch.long, device=device), torch.empty(rows, 0, device=device))

    def select(self, rows: Tensor) -> Self:
        """The paths of `rows` (N',), in that order."""
        attention = None if self.attention is None else self.attention[rows]
        return type(self)(self.pieces[rows], self.scores[rows], attention)

    def grow(self, pieces: Tensor, scores: Tensor, attention: Tensor | None) -> Self:
        """One more piece (N,) on each path, with its score (N,) and attention (N, S)."""
        if attention is not None:
            attention = attention[:, None]
            if self.attention is not None:
                attention = torch.cat([self.attention, attention], 1)
        return type(self)(
            torch.cat([self.pieces, pieces[:, None]], 1), torch.cat([self.scores, scores[:, None]], 1), attention
        )

    def finish(self, options: SearchOptions) -> list[Hypothesis]:
        """The hypotheses of rows whose last piece is END."""
        attention: list[list[list[float]]] = [[]] * len(self.pieces)
        if self.attention is not None:
            attention = self.attention.tolist()
        rows = zip(self.pieces.tolist(), self.scores.tolist(), attention, strict=True)
        return [_hypothesis(*row, options) for row in rows]


def _hypothesis(
    pieces: list[int], scores: list[float], attention: list[list[float]], options: SearchOptions
) -> Hypothesis:
    length = len(pieces) - 1
    covered = coverage(attention) if options.coverage_penalty else 0.0
    looked = attention[:length]
    return Hypothesis(
        tuple(pieces[:length]),
        options.finished_score(math.fsum(scores), length, covered),
        tuple(scores),
        tuple(row.index(max(row)) for row in looked) if options.alignment != "none" else (),
        tuple(map(tuple, looked)) if options.alignment == "soft" else (),
    )


def coverage(attention: list[list[float]]) -> float:
    """Sum over source positions of log(min(1, attention that they got)): 0 is a source wholly covered.

    Wu et al. 2016, arXiv:1609.08144, equation 14. What no piece gave any weight to is padding, and does not count.
    """
    got = [math.fsum(column) for column in zip(*attention, strict=True)]
    return math.fsum(math.log(min(1.0, weight)) for weight in got if weight > 0)
