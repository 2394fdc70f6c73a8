"""Beam search. Knows no network. Letters: B running segments, K beam size, N rows (B*K), V vocabulary.

Every segment has K rows, at first one. A step looks at the 2K best continuations of a segment: at most K of them are
ENDs, so K run on. An END among the first K finishes a hypothesis; the K best finished ones are kept. A segment is
done when it has K and its best running one, divided by its length so far ** length_penalty, is not better than the
worst of them. For a penalty of 0 that is exact: to run on only loses. For a positive penalty it assumes that what
follows costs at least as much as the length it adds gains, which is nearly always so. It is the rule of `generate` in
transformers 5 with `early_stopping=False`, so that with equal scores both find the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from ..vocabularies.vocabulary import END
from .hypothesis import Hypothesis
from .options import SearchOptions
from .paths import Paths
from .rules import NEVER, RowRule, log_probabilities, row_rules
from .stepping import Rows, State, Step, Stepper


@dataclass(slots=True)
class _Segment:
    """The finished hypotheses of one segment, best first."""

    rule: RowRule
    finished: list[Hypothesis] = field(default_factory=list)

    def add(self, hypothesis: Hypothesis, beam_size: int) -> None:
        self.finished.append(hypothesis)
        self.finished.sort(key=lambda one: -one.score)
        del self.finished[beam_size:]

    def is_done(self, best_total: float, length: int, options: SearchOptions) -> bool:
        """Whether no running hypothesis, the best of which has `best_total` after `length` pieces, can matter."""
        if best_total == NEVER:
            return True
        if len(self.finished) < options.beam_size:
            return False
        return bool(best_total / length**options.length_penalty <= self.finished[-1].score)


@dataclass(frozen=True, slots=True)
class _Candidates:
    """The 2K best continuations of each segment, best first: three tensors (B, 2K)."""

    totals: Tensor
    rows: Tensor
    pieces: Tensor

    def running(self, beam_size: int) -> tuple[Tensor, Tensor, Tensor]:
        """Totals, rows and pieces (B, K) of the first K that are not END.

        Where a segment has fewer, copies of its first with the total -inf keep the places.
        """
        places = (self.pieces == END).sort(stable=True).indices[:, :beam_size]  # ENDs last, else in their order
        totals, rows, pieces = (part.gather(1, places) for part in (self.totals, self.rows, self.pieces))
        totals = totals.masked_fill(pieces == END, NEVER)
        real = totals > NEVER
        return totals, torch.where(real, rows, rows[:, :1]), torch.where(real, pieces, pieces[:, :1])


def beam_search(step: Step[State], state: State, rows: Rows, options: SearchOptions) -> list[list[Hypothesis]]:
    """The `n_best` best finished hypotheses of each segment, best first."""
    segments = [_Segment(rule) for rule in row_rules(rows, options)]
    stepper = Stepper(step, state, rows)
    if options.looks_at_attention:
        stepper.keep_attention()
    active, totals = segments, torch.zeros(len(segments), 1, device=rows.device)  # (B, 1), later (B, K)
    paths = Paths.begin(len(segments), rows.device)
    while active:
        rules = [segment.rule for segment in active for _ in range(totals.shape[1])]
        allowed = log_probabilities(stepper.next_scores(), paths.pieces, rules, options.no_repeat_ngram)
        candidates = _candidates(allowed, totals, options.beam_size)
        grown = _Growth(paths, allowed, stepper.attention)
        _finish(active, candidates, grown, options)
        totals, parents, pieces = candidates.running(options.beam_size)
        kept = _still_running(active, totals, paths.pieces.shape[1] + 1, options)
        active = [active[place] for place in kept]
        if active:
            if len(kept) < len(totals):
                chosen = torch.tensor(kept, device=rows.device)
                totals, parents, pieces = totals[chosen], parents[chosen], pieces[chosen]
            paths = grown.paths(parents.flatten(), pieces.flatten())
            stepper.take(parents.flatten(), pieces.flatten())
    return [segment.finished[: options.n_best] for segment in segments]


@dataclass(frozen=True, slots=True)
class _Growth:
    """Paths before a step, and what the step says of each next piece."""

    before: Paths
    allowed: Tensor
    attention: Tensor | None

    def paths(self, rows: Tensor, pieces: Tensor) -> Paths:
        """The paths of `rows` (N',), each with its piece of `pieces` (N',) added."""
        attention = None if self.attention is None else self.attention[rows]
        return self.before.select(rows).grow(pieces, self.allowed[rows, pieces], attention)


def _candidates(allowed: Tensor, totals: Tensor, beam_size: int) -> _Candidates:
    segments, width = totals.shape
    vocabulary_size = allowed.shape[-1]
    together = (allowed + totals.view(-1, 1)).view(segments, -1)  # (N, V) -> (B, K*V)
    best, places = together.topk(min(2 * beam_size, together.shape[1]))
    missing = 2 * beam_size - best.shape[1]
    if missing:  # a vocabulary smaller than the beam: places stay free
        best, places = F.pad(best, (0, missing), value=NEVER), F.pad(places, (0, missing))
    first_rows = torch.arange(0, segments * width, width, device=totals.device)[:, None]
    return _Candidates(best, first_rows + places // vocabulary_size, places % vocabulary_size)


def _finish(active: Sequence[_Segment], candidates: _Candidates, grown: _Growth, options: SearchOptions) -> None:
    """Give every END among the first K of a segment to it."""
    first = slice(0, options.beam_size)
    ended = (candidates.pieces[:, first] == END) & (candidates.totals[:, first] > NEVER)
    segments, ranks = ended.nonzero(as_tuple=True)
    if len(segments):
        rows, pieces = candidates.rows[segments, ranks], candidates.pieces[segments, ranks]
        hypotheses = grown.paths(rows, pieces).finish(options)
        for place, hypothesis in zip(segments.tolist(), hypotheses, strict=True):
            active[place].add(hypothesis, options.beam_size)


def _still_running(active: Sequence[_Segment], totals: Tensor, length: int, options: SearchOptions) -> list[int]:
    best = totals[:, 0].tolist()
    return [place for place, segment in enumerate(active) if not segment.is_done(best[place], length, options)]
