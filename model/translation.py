"""`Translation`: what a model makes of a segment. Needs no PyTorch, so that who only passes it on need not load any."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Translation:
    """A segment's translation; pieces are counted without begin and end marks.

    `piece_scores` are the log-probabilities of the target pieces and of END. `alignment` and `attention`, if the
    options ask for them, say for each target piece at which source piece it looked most, and how much at each; source
    pieces are those of `Translator.encode` and END, which is the last. `alternatives` are the other hypotheses of an
    n-best search, best first.
    """

    text: str
    score: float
    source_pieces: int
    target_pieces: int
    piece_scores: tuple[float, ...] = ()
    alignment: tuple[int, ...] = ()
    attention: tuple[tuple[float, ...], ...] = ()
    alternatives: tuple["Translation", ...] = ()
