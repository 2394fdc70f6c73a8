"""An LSTM over characters for training on a CPU: its recurrence and its gradient, written out.

It computes what `torch.nn.LSTM` computes of one-hot characters (see `recurrent_layers` for its bias) with less
arithmetic. What a character adds to the gates is looked up instead of multiplied: a quarter of the products for a
width of 256. Padding is never read: rows are sorted by length, and those that have ended leave. A layer is one call of
the compiled code (`engine/native/recurrence.c`), in which threads take parts of the rows from their first place to
their last: they wait for each other once a layer, and the result is the same with any number of them. Knows tensors
only. Letters: B rows, P parts, S places, R real pieces, V vocabulary, H width.
"""

import ctypes
from ctypes import POINTER, c_int32, c_void_p
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ...errors import ConfigurationError
from ..threads import layer_threads
from ..vocabularies.vocabulary import PAD
from .recurrent_layers import CellState

# Rows that one thread takes at once. Fewer would read the weights more often for the same arithmetic; a batch of the
# tutorial's 64 rows makes work for two threads.
PART_ROWS = 32


@dataclass(frozen=True, slots=True)
class PackedPieces:
    """The real pieces (R,) of B rows: part by part, in a part place by place, the longest rows first.

    `counts` (P, S) says how many rows of a part reach each place, `order` (B,) which row comes where, `places` (R,)
    where a piece stood in B * S. States lie behind each other, B of them before any piece and one after each: `ends`
    (B,) is the number of that which a row ends with.
    """

    pieces: Tensor
    counts: Tensor
    order: Tensor
    places: Tensor
    ends: Tensor


def packed(pieces: Tensor) -> PackedPieces:
    """Pack pieces (B, S), padded on the right, in as few parts as have at most `PART_ROWS` rows."""
    rows, length = pieces.shape
    parts = -(-rows // PART_ROWS)
    lengths, order = (pieces != PAD).sum(1).sort(descending=True, stable=True)
    # Rows are dealt to the parts one by one, so that all have about as much to do; spare ones have no pieces.
    spare = -rows % parts
    lengths, order, numbers = (
        torch.cat([part, part.new_full([spare], filling)]).view(-1, parts).T  # (P, B / P)
        for part, filling in ((lengths, 0), (order, 0), (torch.arange(rows), -1))
    )
    reached = lengths[:, None] > torch.arange(length)[:, None]  # (P, S, B / P)
    counts = reached.sum(2)
    part, place, row = reached.nonzero().unbind(1)
    places = order[part, row] * length + place
    before = counts.flatten().cumsum(0).view_as(counts) - counts
    ends = rows + before.gather(1, (lengths - 1).clamp(min=0)) + torch.arange(lengths.shape[1])
    is_row = numbers >= 0
    ends = ends[is_row].where(lengths[is_row] > 0, torch.arange(rows))
    return PackedPieces(pieces.flatten()[places], counts.to(torch.int32), order[is_row], places, ends)


def can_run_looked_up(layer: nn.LSTM) -> bool:
    """Whether `run_looked_up` takes this layer here: on a CPU, in 32 bits, where there is a compiler."""
    weight = layer.get_parameter("weight_hh_l0")
    library = _library() if weight.is_cpu and weight.dtype == torch.float32 else None
    return library is not None and layer.hidden_size % library.dragoman_lanes() == 0


def run_looked_up(layer: nn.LSTM, rows: PackedPieces, state: CellState) -> tuple[Tensor, CellState]:
    """A layer over packed rows from `state`, two of (B, H) -> its outputs (R, H), and what each row ends with.

    The layer has no biases: the last column of its input matrix takes their place. Works in 32 bits under autocast.
    """
    weights = [layer.get_parameter(name) for name in ("weight_ih_l0", "weight_hh_l0")]
    outputs, hidden, cell = _Recurrence.apply(*weights, *(part[rows.order] for part in state), rows)
    back = rows.order.argsort()
    return outputs, (hidden[back], cell[back])


class _Recurrence(torch.autograd.Function):
    """Weights (4H, V+1) and (4H, H), first states (B, H) twice, rows -> outputs (R, H), last states (B, H) twice."""

    @staticmethod
    def forward(ctx: Any, *given: Any) -> tuple[Tensor, Tensor, Tensor]:
        columns, weight, hidden, cell, rows = given
        table = (columns[:, :-1] + columns[:, -1:]).T.contiguous()
        kept = _recur(table, weight.contiguous(), (hidden, cell), rows)
        _, cells, _, hiddens = kept
        ctx.rows = rows
        ctx.save_for_backward(weight, table, *kept)
        return hiddens[len(hidden) :], hiddens[rows.ends], cells[rows.ends]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        outputs, hidden, cell = gradients
        hidden, cell = (part.clone(memory_format=torch.contiguous_format) for part in (hidden, cell))
        weight, table = _recur_back(ctx.saved_tensors, (outputs.contiguous(), hidden, cell), ctx.rows)
        # Every piece has the last column of the input matrix, the bias, beside its own.
        columns = torch.cat([table, table.sum(0, keepdim=True)]).T
        return columns, weight.T, hidden, cell, None


def _recur(table: Tensor, weight: Tensor, state: CellState, rows: PackedPieces) -> tuple[Tensor, ...]:
    """Gates (R, 4H) in torch's order, cells (B+R, H), the cells' tanh (R, H), hidden states (B+R, H)."""
    (count, width), real = state[0].shape, len(rows.pieces)
    gates, squashed = table.new_empty(real, 4 * width), table.new_empty(real, width)
    hiddens, cells = (part.new_empty(count + real, width) for part in state)
    for parts, first in zip((hiddens, cells), state, strict=True):
        parts[:count] = first
    kept = (gates, cells, squashed, hiddens)
    _check(_loaded().dragoman_recur(_described(rows, table, weight, kept)))
    return kept


def _recur_back(
    saved: tuple[Tensor, ...], gradients: tuple[Tensor, Tensor, Tensor], rows: PackedPieces
) -> tuple[Tensor, Tensor]:
    """Gradients of the weights (H, 4H) and of the table (V, 4H); that of the last states becomes that of the first."""
    weight, table, *kept = saved
    parts = len(rows.counts)
    weights, tables = weight.new_zeros(parts, *weight.T.shape), table.new_zeros(parts, *table.shape)
    across = weight.T.contiguous()
    described = _described(rows, table, across, tuple(kept))
    pointers = (tensor.data_ptr() for tensor in (*gradients, weights, tables))
    _check(_loaded().dragoman_recur_back(described, _Gradients(*pointers)))
    # One part after the other, so that the sum does not depend on the number of threads.
    return sum(weights[1:], weights[0]), sum(tables[1:], tables[0])


class _Rows(ctypes.Structure):
    """`dragoman_recurrence`."""

    _fields_ = [
        *((name, c_int32) for name in ("width", "characters", "rows", "parts", "places", "threads")),
        *((name, c_void_p) for name in ("counts", "pieces", "table", "weight")),
        *((name, c_void_p) for name in ("gates", "cells", "squashed", "hiddens")),
    ]


class _Gradients(ctypes.Structure):
    """`dragoman_recurrence_gradients`."""

    _fields_ = [(name, c_void_p) for name in ("outputs", "hidden", "cell", "weight", "table")]


def _described(rows: PackedPieces, table: Tensor, weight: Tensor, kept: tuple[Tensor, ...]) -> _Rows:
    """Pointers to tensors, which must be held while they are used."""
    characters, width = len(table), table.shape[1] // 4
    sizes = (width, characters, len(rows.order), *rows.counts.shape, layer_threads())
    return _Rows(*sizes, *(tensor.data_ptr() for tensor in (rows.counts, rows.pieces, table, weight, *kept)))


def _check(result: int) -> None:
    if result:
        raise MemoryError("no memory is left for the recurrence: take smaller batches")


@cache
def _loaded() -> ctypes.CDLL:
    # The engine's C code is compiled when it is first asked for: decoding alone must not wait for that.
    from ..engine.native_library import native_library

    library = native_library()
    library.dragoman_recur.argtypes = [POINTER(_Rows)]
    library.dragoman_recur_back.argtypes = [POINTER(_Rows), POINTER(_Gradients)]
    return library


@cache
def _library() -> ctypes.CDLL | None:
    try:
        return _loaded()
    except ConfigurationError:
        return None
