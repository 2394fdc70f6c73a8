"""Greedy and beam search over a step function. Knows no network, no text: any architecture can be decoded.

A step function takes the last pieces (N,) and a state, and returns finite scores (N, V) of the next pieces; the
state's `select` keeps, reorders or repeats rows. Finished rows leave the batch. Letters: B segments, K beam size,
N rows of the running batch, V vocabulary.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from ..vocabularies.vocabulary import BEGIN, END, PAD, UNKNOWN

# A translation never holds one of these.
FORBIDDEN = (PAD, UNKNOWN, BEGIN)


class StepState(Protocol):
    """What a step function remembers of its rows."""

    def select(self, rows: Tensor) -> object:
        """Keep `rows`, in that order; a row may be taken several times or not at all."""
        ...


State = TypeVar("State", bound=StepState)
Step = Callable[[Tensor, State], Tensor]


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One candidate: target pieces without END, and its score: log-probability / length ** length_penalty."""

    pieces: tuple[int, ...]
    score: float


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """Beam size (1 is greedy search) and length penalty; the END piece counts in the length."""

    beam_size: int = 4
    length_penalty: float = 1.0

    def finish(self, pieces: Sequence[int], log_probability: float) -> Hypothesis:
        """The hypothesis of `pieces` followed by END."""
        return Hypothesis(tuple(pieces), float(log_probability / (len(pieces) + 1) ** self.length_penalty))


@dataclass(frozen=True, slots=True)
class Rows:
    """Which device the rows live on, and the longest translation (in pieces) of each segment."""

    limits: tuple[int, ...]
    device: torch.device


@torch.inference_mode()
def search(step: Step[State], state: State, rows: Rows, options: SearchOptions) -> list[Hypothesis]:
    """The best hypothesis of each row of `state`; row i gets at most `rows.limits[i]` pieces and then END."""
    if not rows.limits:
        return []
    if options.beam_size == 1:
        return _greedy(step, state, rows, options)
    return _beam(step, state, rows, options)


def _greedy(step: Step[State], state: State, rows: Rows, options: SearchOptions) -> list[Hypothesis]:
    pieces: list[list[int]] = [[] for _ in rows.limits]
    totals = [0.0] * len(rows.limits)
    active = list(range(len(rows.limits)))
    last = torch.full((len(active),), BEGIN, device=rows.device)
    for position in range(max(rows.limits) + 1):
        scores = _log_probabilities(step(last, state), position, [rows.limits[row] for row in active])
        gains, chosen = scores.max(-1)  # (N, V) -> (N,)
        kept = []
        for place, (row, piece, gain) in enumerate(zip(active, chosen.tolist(), gains.tolist(), strict=True)):
            totals[row] += gain
            if piece != END:
                pieces[row].append(piece)
                kept.append(place)
        if not kept:
            break
        if len(kept) < len(active):
            places = torch.tensor(kept, device=rows.device)
            chosen = chosen[places]
            state.select(places)
        active, last = [active[place] for place in kept], chosen
    return [options.finish(*row) for row in zip(pieces, totals, strict=True)]


@dataclass(slots=True)
class _Beam:
    """The running and the finished hypotheses of one segment; a running one is (pieces, log-probability)."""

    limit: int
    running: list[tuple[tuple[int, ...], float]] = field(default_factory=lambda: [((), 0.0)])
    finished: list[Hypothesis] = field(default_factory=list)

    def advance(self, candidates: list[tuple[float, int, int]], options: SearchOptions) -> list[tuple[int, int]]:
        """Take candidates (log-probability, parent, piece), best first; returns (parent, piece) of those that run on.

        An END among the first K finishes a hypothesis; with K finished ones the segment is done. Where a vocabulary
        smaller than K leaves places free, hypotheses of probability 0 fill them: every segment has K rows.
        """
        running: list[tuple[tuple[int, ...], float]] = []
        chosen: list[tuple[int, int]] = []
        for rank, (total, parent, piece) in enumerate(candidates):
            pieces = self.running[parent][0]
            if piece == END:
                if rank < options.beam_size and total > float("-inf"):
                    self.finished.append(options.finish(pieces, total))
            elif len(chosen) < options.beam_size and total > float("-inf"):
                running.append(((*pieces, piece), total))
                chosen.append((parent, piece))
        if running:
            missing = options.beam_size - len(running)
            running += [(running[0][0], float("-inf"))] * missing
            chosen += [chosen[0]] * missing
        self.running = running
        return [] if len(self.finished) >= options.beam_size else chosen

    def best(self) -> Hypothesis:
        return max(self.finished, key=lambda hypothesis: hypothesis.score)


def _beam(step: Step[State], state: State, rows: Rows, options: SearchOptions) -> list[Hypothesis]:
    beams = [_Beam(limit) for limit in rows.limits]
    active, width = beams, 1  # rows a segment: one at first, then K
    last = torch.full((len(beams),), BEGIN, device=rows.device)
    for position in range(max(rows.limits) + 1):
        limits = [beam.limit for beam in active for _ in range(width)]
        scores = _log_probabilities(step(last, state), position, limits)
        kept: list[int] = []
        last_pieces: list[int] = []
        still: list[_Beam] = []
        for place, candidates in enumerate(_candidates(scores, active, options.beam_size)):
            chosen = active[place].advance(candidates, options)
            if chosen:
                still.append(active[place])
                kept += [place * width + parent for parent, _ in chosen]
                last_pieces += [piece for _, piece in chosen]
        if not still:
            break
        active, width = still, options.beam_size
        last = torch.tensor(last_pieces, device=rows.device)
        state.select(torch.tensor(kept, device=rows.device))
    return [beam.best() for beam in beams]


def _candidates(scores: Tensor, active: list[_Beam], beam_size: int) -> list[list[tuple[float, int, int]]]:
    """The 2K best continuations of each segment: at most K of them are ENDs, so K can run on."""
    totals = torch.tensor([total for beam in active for _, total in beam.running], device=scores.device)
    vocabulary_size = scores.shape[-1]
    together = (scores + totals[:, None]).view(len(active), -1)  # (N, V) -> (B, K*V)
    best, places = together.topk(min(2 * beam_size, together.shape[-1]))
    return [
        [(total, place // vocabulary_size, place % vocabulary_size) for total, place in zip(*pair, strict=True)]
        for pair in zip(best.tolist(), places.tolist(), strict=True)
    ]


def _log_probabilities(logits: Tensor, position: int, limits: Sequence[int]) -> Tensor:
    """(N, V) log-probabilities; a row at its limit can only END."""
    scores = logits.float().log_softmax(-1)
    scores[:, FORBIDDEN] = float("-inf")
    full = [row for row, limit in enumerate(limits) if position >= limit]
    if full:
        end = scores[full, END]
        scores[full] = float("-inf")
        scores[full, END] = end
    return scores
