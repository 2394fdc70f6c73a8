"""What a search finds. Knows no network and no tensors."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One candidate: target pieces without END, and the score by which candidates are ranked.

    `piece_scores` are the log-probabilities of the pieces and of END. `alignment`, if asked for, is the source
    position that each piece looked at most, `attention` how much each piece looked at each source position. A
    position is a place in the source as the network got it, so the last is that of END.
    """

    pieces: tuple[int, ...]
    score: float
    piece_scores: tuple[float, ...] = ()
    alignment: tuple[int, ...] = ()
    attention: tuple[tuple[float, ...], ...] = ()

    @property
    def log_probability(self) -> float:
        """What the network gives to all pieces and END together."""
        return math.fsum(self.piece_scores)
