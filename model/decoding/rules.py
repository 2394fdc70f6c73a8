"""Which pieces may come next. Knows no network and no strategy: it takes scores away.

Letters: N running rows, T pieces so far, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..vocabularies.vocabulary import BEGIN, END, PAD
from .options import SearchOptions
from .stepping import Rows

# PAD, UNKNOWN, BEGIN: no translation holds one of these, unless its prefix does.
FORBIDDEN = slice(PAD, BEGIN + 1)
NEVER = float("-inf")


@dataclass(frozen=True, slots=True)
class RowRule:
    """What holds for the rows of one segment: pieces they begin with, the fewest and the most they may have.

    Only the pieces `allowed` (A,) may come; None: any.
    """

    prefix: tuple[int, ...]
    min_pieces: int
    max_pieces: int
    allowed: Tensor | None = None


def row_rules(rows: Rows, options: SearchOptions) -> list[RowRule]:
    """The rule of each segment; raises `ConfigurationError` for a prefix that cannot be."""
    prefixes, allowed = rows.prefixes_under(options), rows.allowed_pieces(options)
    return [
        RowRule(prefix, min(options.min_pieces, limit), limit, pieces)
        for prefix, limit, pieces in zip(prefixes, rows.limits, allowed, strict=True)
    ]


def log_probabilities(scores: Tensor, pieces: Tensor, rules: Sequence[RowRule], no_repeat_ngram: int) -> Tensor:
    """What the next piece of each row adds to its log-probability (N, V), after `pieces` (N, T); -inf: it may not be.

    Probabilities are the network's own over the pieces that its segment may have at all: what the other rules take
    away is not given to other pieces. A row at its limit has no choice but END, which then says nothing of the
    translation and adds 0.
    """
    position = pieces.shape[1]
    allowed = _shortlisted(scores, rules).log_softmax(-1)
    forced = _forced(allowed, rules, position)
    allowed[:, FORBIDDEN] = NEVER
    if no_repeat_ngram:
        _forbid_repetition(allowed, pieces, no_repeat_ngram)
    short = [row for row, rule in enumerate(rules) if position < rule.min_pieces]
    if short:
        _forbid_end(allowed, short)
    for row, piece, gain in forced:
        allowed[row] = NEVER
        allowed[row, piece] = gain
    full = [row for row, rule in enumerate(rules) if position >= rule.max_pieces]
    if full:
        allowed[full] = NEVER
        allowed[full, END] = 0.0
    return allowed


def _shortlisted(scores: Tensor, rules: Sequence[RowRule]) -> Tensor:
    """The scores (N, V), -inf for what the row's segment cannot have: so it has no share of the probability either."""
    listed = [(row, rule.allowed) for row, rule in enumerate(rules) if rule.allowed is not None]
    if not listed:
        return scores
    lengths = torch.tensor([len(pieces) for _, pieces in listed])
    rows = torch.tensor([row for row, _ in listed]).repeat_interleave(lengths).to(scores.device)
    pieces = torch.cat([pieces for _, pieces in listed])
    kept = torch.full_like(scores, NEVER)
    kept[rows, pieces] = scores[rows, pieces]
    return kept


def _forced(log_probabilities: Tensor, rules: Sequence[RowRule], position: int) -> list[tuple[int, int, float]]:
    """(Row, piece of its prefix, log-probability of that) of the rows that are still inside their prefix."""
    rows = [row for row, rule in enumerate(rules) if position < len(rule.prefix)]
    if not rows:
        return []
    pieces = [rules[row].prefix[position] for row in rows]
    return list(zip(rows, pieces, log_probabilities[rows, pieces].tolist(), strict=True))


def _forbid_end(allowed: Tensor, rows: list[int]) -> None:
    """Take END away from `rows`, but from one that has nothing else left."""
    ends = allowed[rows, END]
    allowed[rows, END] = NEVER
    stuck = allowed[rows].amax(-1) == NEVER
    allowed[rows, END] = torch.where(stuck, ends, NEVER)


def _forbid_repetition(allowed: Tensor, pieces: Tensor, ngram: int) -> None:
    """Take away every piece that would end a sequence of `ngram` pieces the row already has."""
    length = pieces.shape[1]
    if length < ngram:
        return
    seen = pieces.unfold(1, ngram, 1)  # (N, T) -> (N, T-n+1, n)
    again = (seen[..., :-1] == pieces[:, None, length - ngram + 1 :]).all(-1)
    rows, places = again.nonzero(as_tuple=True)
    allowed[rows, seen[rows, places, -1]] = torch.tensor(NEVER, device=allowed.device)
