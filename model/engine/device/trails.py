"""From what lanes wrote down to hypotheses: follows each finished one back to its beginning. Knows no device."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ...decoding import Hypothesis, SearchOptions
from .lane_state import NEVER


@dataclass(frozen=True, slots=True)
class Trails:
    """What one segment left: at each position, for each row, its piece, the row before it, what the piece added."""

    pieces: Sequence[Sequence[int]]
    parents: Sequence[Sequence[int]]
    gains: Sequence[Sequence[float]]


@dataclass(frozen=True, slots=True)
class Finished:
    """The finished hypotheses of one segment, best first: score, pieces before END, row that END came after, its gain.

    Where the score is -inf there is none.
    """

    scores: Sequence[float]
    at: Sequence[int]
    parents: Sequence[int]
    gains: Sequence[float]


def hypotheses(trails: Trails, finished: Finished, options: SearchOptions) -> list[Hypothesis]:
    """The `n_best` best hypotheses, best first; their scores are summed up again, more precisely than on a device."""
    found = [
        _hypothesis(trails, (at, parent, gain), options)
        for score, at, parent, gain in zip(finished.scores, finished.at, finished.parents, finished.gains, strict=True)
        if score > NEVER
    ]
    return sorted(found, key=lambda one: -one.score)[: options.n_best]


def _hypothesis(trails: Trails, end: tuple[int, int, float], options: SearchOptions) -> Hypothesis:
    at, row, gain = end
    pieces, gains = [], [gain]
    for position in range(at - 1, -1, -1):
        pieces.append(trails.pieces[position][row])
        gains.append(trails.gains[position][row])
        row = trails.parents[position][row]
    score = options.finished_score(math.fsum(gains), at)
    return Hypothesis(tuple(reversed(pieces)), score, tuple(reversed(gains)))
