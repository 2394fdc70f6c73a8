"""Searches for translations over a step callable: any architecture, any strategy. Knows no network, no text.

Greedy search, beam search, sampling: see `options` for what each takes, `stepping` for what a step callable is.
"""

import torch

from .beam import beam_search
from .hypothesis import Hypothesis
from .options import SearchOptions
from .single import greedy, sample
from .stepping import Rows, State, Step


@torch.inference_mode()
def search(step: Step[State], state: State, rows: Rows, options: SearchOptions) -> list[list[Hypothesis]]:
    """The `n_best` hypotheses of each segment, best first; segment i gets at most `rows.limits[i]` pieces, then END.

    A beam that found fewer gives fewer, at least one. Raises `ConfigurationError` for a prefix longer than its
    segment's limit, and for alignment or coverage asked of a network without attention.
    """
    if not rows.limits:
        return []
    if options.sampling is not None:
        return sample(step, state, rows, options, options.sampling)
    if options.beam_size == 1:
        return greedy(step, state, rows, options)
    return beam_search(step, state, rows, options)
