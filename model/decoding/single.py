"""One path a row: greedy search and sampling. Knows no network.

Letters: N running rows, V vocabulary.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..vocabularies.vocabulary import END
from .hypothesis import Hypothesis
from .options import Sampling, SearchOptions
from .paths import Paths
from .rules import log_probabilities, row_rules
from .sampling import Sampler
from .stepping import Rows, State, Step, Stepper

# From log-probabilities (N, V), the numbers of the rows and the position to one piece a row (N,).
Choose = Callable[[Tensor, Sequence[int], int], Tensor]


def greedy(step: Step[State], state: State, rows: Rows, options: SearchOptions) -> list[list[Hypothesis]]:
    """The hypothesis of each segment that takes the likeliest piece at every step."""
    return [[hypothesis] for hypothesis in _follow((step, state, rows), options, _likeliest)]


def sample(
    step: Step[State], state: State, rows: Rows, options: SearchOptions, sampling: Sampling
) -> list[list[Hypothesis]]:
    """`n_best` hypotheses of each segment, drawn independently of each other, the best score first."""
    count = options.n_best
    seeds = [(seed, number) for seed in rows.seeds or [0] * len(rows.limits) for number in range(count)]
    repeated = _repeat(state, rows, count)
    sampler = Sampler(sampling, seeds, [limit + 1 for limit in repeated.limits])
    drawn = _follow((step, state, repeated), options, sampler.choose)
    groups = [drawn[first : first + count] for first in range(0, len(drawn), count)]
    return [sorted(group, key=lambda hypothesis: -hypothesis.score) for group in groups]


def _likeliest(allowed: Tensor, rows: Sequence[int], position: int) -> Tensor:  # noqa: ARG001
    return allowed.argmax(-1)


def _follow(search: tuple[Step[State], State, Rows], options: SearchOptions, choose: Choose) -> list[Hypothesis]:
    step, state, rows = search
    rules = row_rules(rows, options)
    stepper = Stepper(step, state, rows)
    if options.looks_at_attention:
        stepper.keep_attention()
    found: dict[int, Hypothesis] = {}
    active = list(range(len(rows.limits)))
    paths = Paths.begin(len(active), rows.device)
    while active:
        scores = stepper.next_scores()
        position = paths.pieces.shape[1]
        allowed = log_probabilities(scores, paths.pieces, [rules[row] for row in active], options.no_repeat_ngram)
        chosen = choose(allowed, active, position)
        paths = paths.grow(chosen, allowed.gather(1, chosen[:, None])[:, 0], stepper.attention)
        ended = (chosen == END).tolist()
        if not any(ended):
            stepper.take(None, chosen)
            continue
        places = [place for place, end in enumerate(ended) if end]
        found |= zip(
            [active[place] for place in places], paths.select(_index(places, rows)).finish(options), strict=True
        )
        running = [place for place, end in enumerate(ended) if not end]
        active = [active[place] for place in running]
        if active:
            kept = _index(running, rows)
            paths = paths.select(kept)
            stepper.take(kept, chosen[kept])
    return [found[row] for row in range(len(rows.limits))]


def _index(places: list[int], rows: Rows) -> Tensor:
    return torch.tensor(places, device=rows.device)


def _repeat(state: State, rows: Rows, count: int) -> Rows:
    """Every segment `count` times, one after the other."""
    if count == 1:
        return rows
    segments = range(len(rows.limits))
    order = [segment for segment in segments for _ in range(count)]
    fill = -len(order) % rows.multiple
    state.select(_index(order + [0] * fill, rows))
    prefixes = tuple(rows.prefixes[segment] for segment in order) if rows.prefixes else ()
    allowed = tuple(rows.allowed[segment] for segment in order) if rows.allowed else ()
    limits = tuple(rows.limits[segment] for segment in order)
    return Rows(limits, rows.device, prefixes, (), rows.multiple, allowed)
