"""Greedy and beam search on the device: from scores to the next pieces of all rows, without looking at any number.

The rules are those of `decoding.beam` and `decoding.rules`. Knows no network. Letters: B segments, K rows each (the
widest beam of the lane; a segment may use fewer), N = B*K, W candidates a row, C = K*W, T positions, V vocabulary
padded to blocks.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ...decoding.rules import FORBIDDEN
from ...vocabularies.vocabulary import END
from .decoder import Extent
from .fused import BLOCK
from .lane_state import NEVER, NO_PIECE, LaneState


@dataclass(frozen=True, slots=True)
class _Candidates:
    """Possible next pieces, best first: pieces and what they add to the log-probability, two of (B, K, W)."""

    pieces: Tensor
    gains: Tensor


def take_likeliest(state: LaneState, extent: Extent, scores: Tensor) -> None:
    """Greedy search: each segment takes its likeliest piece; `scores` (B, V) are overwritten."""
    segments = extent.segments
    candidates = _candidates(state, extent, scores, 1)
    pieces, gains = candidates.pieces[:, :, 0], candidates.gains[:, :, 0]  # (B, 1)
    totals = state.totals[:segments] + gains
    live = ~state.done[:segments]
    ended = (pieces == END) & live[:, None]
    _write(state.finished_scores[:segments], ended, totals)
    _write(state.finished_at[:segments], ended, state.position[:segments, None])
    _write(state.finished_gains[:segments], ended, gains)
    _trail(state, extent, pieces, torch.zeros_like(pieces), gains)
    state.totals[:segments].copy_(totals)
    state.pieces[:segments].copy_(pieces)
    _go_on(state, segments, live, ended[:, 0])


def take_beams(state: LaneState, extent: Extent, scores: Tensor) -> None:
    """Beam search: of the 2K best continuations of each segment ENDs finish and others run on; overwrites `scores`."""
    segments, rows = extent.segments, state.pieces.shape[1]
    together = _together(state, segments, _candidates(state, extent, scores, 2 * rows))
    live = ~state.done[:segments]
    length = (state.position[:segments] + 1).float() ** state.length_penalty[:segments]  # (B,)
    _finish(state, together, live, length)
    running = together.running(rows, state.beam_size[:segments])
    ancestors = state.ancestors[:segments, :, : extent.target]
    ancestors.copy_(ancestors.gather(1, running.parents[:, :, None].expand_as(ancestors)))
    _trail(state, extent, running.pieces, running.parents, running.gains)
    state.totals[:segments].copy_(running.totals)
    state.pieces[:segments].copy_(running.pieces)
    worst = state.finished_scores[:segments].gather(1, state.beam_size[:segments, None] - 1)[:, 0]
    # -inf <= -inf where nothing runs any more: done, whatever has finished.
    _go_on(state, segments, live, running.totals[:, 0] / length <= worst)


@dataclass(frozen=True, slots=True)
class _Together:
    """Continuations of whole segments, best first, or those of them that run on: four of (B, 2K) or (B, K)."""

    totals: Tensor
    parents: Tensor
    pieces: Tensor
    gains: Tensor

    def running(self, rows: int, beam_size: Tensor) -> "_Together":
        """The first that are not END, as many as the beam of each segment has rows; (B, K) with -inf where none is."""
        ranks = torch.arange(self.pieces.shape[1], device=self.pieces.device)
        # ENDs last, else in their order; the keys differ, so the order is certain.
        places = (ranks + (self.pieces == END) * len(ranks)).sort().indices[:, :rows]
        totals, parents, pieces, gains = (
            part.gather(1, places) for part in (self.totals, self.parents, self.pieces, self.gains)
        )
        gone = (pieces == END) | (ranks[:rows] >= beam_size[:, None])
        totals = totals.masked_fill(gone, NEVER)
        # A row that does not run still needs a piece that exists.
        return _Together(totals, parents, pieces.masked_fill(totals == NEVER, END), gains)


def _candidates(state: LaneState, extent: Extent, scores: Tensor, width: int) -> _Candidates:
    """The likeliest allowed pieces of each row, by the network's own probabilities over those of its shortlist."""
    segments, rows = extent.segments, state.pieces.shape[1]
    position = state.position[:segments, None]
    if extent.shortlists:
        # Before the sum, so that what may not come has no share of the probability.
        scores.view(segments, rows, -1).masked_fill_(state.forbidden[:segments, None], NEVER)
    norms = scores.logsumexp(-1, keepdim=True)  # (N, 1)
    forced = state.prefix[:segments].gather(1, position)  # (B, 1)
    forced_rows = forced.clamp_min(0).expand(segments, rows).reshape(-1, 1)
    forced_gains = (scores.gather(1, forced_rows) - norms).view(segments, rows)
    scores[:, FORBIDDEN].fill_(NEVER)
    short = (position < state.min_pieces[:segments, None]).expand(segments, rows).reshape(-1)
    scores[:, END].masked_fill_(short, NEVER)
    best, pieces = _best(scores, width)
    shape = (segments, rows, best.shape[1])
    found = _Candidates(pieces.view(shape), (best - norms).view(shape))
    found = _only(found, forced != NO_PIECE, forced, forced_gains)
    full = position >= state.limit[:segments, None]
    return _only(found, full, torch.full_like(forced, END), torch.zeros_like(forced_gains))


def _only(candidates: _Candidates, where: Tensor, piece: Tensor, gains: Tensor) -> _Candidates:
    """Leave the segments of `where` (B, 1) nothing but `piece` (B, 1), which adds `gains` (B, K)."""
    others = torch.arange(candidates.pieces.shape[2], device=gains.device) > 0
    alone = gains[:, :, None].expand_as(candidates.gains).masked_fill(others, NEVER)
    return _Candidates(
        torch.where(where[:, :, None], piece[:, :, None], candidates.pieces),
        torch.where(where[:, :, None], alone, candidates.gains),
    )


def _best(scores: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """The `width` best scores of each row and their pieces, best first: two of (N, W).

    Exact: the best `width` numbers lie in the `width` blocks with the largest maxima. It takes one pass over the
    scores, and `topk` sees few numbers.
    """
    if width == 1:
        best, pieces = scores.max(-1, keepdim=True)
        return best, pieces
    width = min(width, scores.shape[1])
    blocks = scores.view(len(scores), -1, BLOCK)  # (N, V) -> (N, V/BLOCK, BLOCK)
    count = min(width, blocks.shape[1])
    chosen = blocks.amax(-1).topk(count).indices  # (N, count)
    within = blocks.gather(1, chosen[:, :, None].expand(-1, -1, BLOCK)).flatten(1)
    best, places = within.topk(width)
    pieces = chosen.gather(1, places // BLOCK) * BLOCK + places % BLOCK
    return best, pieces


def _together(state: LaneState, segments: int, candidates: _Candidates) -> _Together:
    """The 2K best continuations of each segment; of a narrower beam only as many as it looks at, then -inf."""
    rows, width = candidates.pieces.shape[1:]
    totals = state.totals[:segments, :, None] + candidates.gains
    best, places = totals.flatten(1).topk(2 * rows)  # (B, C) -> (B, 2K)
    ranks = torch.arange(2 * rows, device=best.device)
    best = best.masked_fill(ranks >= 2 * state.beam_size[:segments, None], NEVER)
    pieces, gains = candidates.pieces.flatten(1).gather(1, places), candidates.gains.flatten(1).gather(1, places)
    return _Together(best, places // width, pieces, gains)


def _finish(state: LaneState, together: _Together, live: Tensor, length: Tensor) -> None:
    """Keep every END among the first of a beam, with those that finished before, best first."""
    segments, rows = len(live), state.pieces.shape[1]
    places = torch.arange(rows, device=live.device)
    in_beam = places < state.beam_size[:segments, None]  # (B, K)
    totals = together.totals[:, :rows]
    ended = (together.pieces[:, :rows] == END) & (totals > NEVER) & in_beam & live[:, None]
    scores = (totals / length[:, None]).masked_fill(~ended, NEVER)
    # Those of before stand first, so that equal scores keep their order.
    all_scores = torch.cat([state.finished_scores[:segments], scores], 1)
    best, order = all_scores.sort(dim=1, descending=True, stable=True)
    order = order[:, :rows]
    state.finished_scores[:segments].copy_(best[:, :rows].masked_fill(~in_beam, NEVER))
    here = state.position[:segments, None].expand(segments, rows)
    for kept, new in (
        (state.finished_at, here),
        (state.finished_parents, together.parents[:, :rows]),
        (state.finished_gains, together.gains[:, :rows]),
    ):
        part = kept[:segments]
        part.copy_(torch.cat([part, new.to(part.dtype)], 1).gather(1, order))


def _trail(state: LaneState, extent: Extent, pieces: Tensor, parents: Tensor, gains: Tensor) -> None:
    """Write down what each row took (B, K); done segments write where nobody looks."""
    segments, rows = pieces.shape
    at = state.position[: extent.segments, None, None].expand(segments, 1, rows)
    for trail, new in ((state.trail_pieces, pieces), (state.trail_parents, parents), (state.trail_gains, gains)):
        trail[:segments].scatter_(1, at, new[:, None].to(trail.dtype))


def _write(kept: Tensor, where: Tensor, new: Tensor) -> None:
    kept.copy_(torch.where(where, new.to(kept.dtype), kept))


def _go_on(state: LaneState, segments: int, live: Tensor, finished: Tensor) -> None:
    """One position further, for the segments that are not done; those are frozen."""
    state.done[:segments].logical_or_(finished)
    state.position[:segments].add_(live & ~finished)
