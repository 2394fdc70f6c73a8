"""An LSTM over characters for training on a CPU: its recurrence and its gradient, written out.

It computes what `torch.nn.LSTM` computes of one-hot characters (see `recurrent_layers` for its bias) with less
arithmetic. What a character adds to the gates is looked up instead of multiplied: a quarter of the products for a
width of 256. Padding is never read: rows are sorted by length, and those that have ended leave. The gradients of all
places meet in one product. Products are torch's, all else at a place is one call of the compiled code
(`engine/native/lstm.c`). Knows tensors only. Letters: B rows, S places, R real pieces, V vocabulary, H width.
"""

import ctypes
from ctypes import c_int, c_void_p
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ...errors import ConfigurationError
from ..vocabularies.vocabulary import PAD
from .recurrent_layers import CellState

FLOAT_BYTES, PIECE_BYTES = 4, 8


@dataclass(frozen=True, slots=True)
class PackedPieces:
    """The real pieces (R,) of B rows, place by place, the longest rows first.

    `counts` says how many rows reach each place, `order` (B,) which row comes where, `places` (R,) where a piece stood
    in B * S. States lie behind each other, B of them before the first piece and one after each: `before` (R,) is the
    number of the state that a piece finds, `ends` (B,) of that which a row ends with.
    """

    pieces: Tensor
    counts: tuple[int, ...]
    order: Tensor
    places: Tensor
    before: Tensor
    ends: Tensor

    @property
    def steps(self) -> list[tuple[int, int, int]]:
        """Of each place: how many rows reach it, its first piece, and the state which that one finds."""
        pieces = (0, *accumulate(self.counts))
        states = (0, *(len(self.order) + first for first in pieces))
        return list(zip(self.counts, pieces, states, strict=False))


def packed(pieces: Tensor) -> PackedPieces:
    """Pack pieces (B, S), padded on the right."""
    rows, length = pieces.shape
    lengths, order = (pieces != PAD).sum(1).sort(descending=True, stable=True)
    reached = lengths[None] > torch.arange(length)[:, None]  # (S, B)
    counts = tuple(count for count in reached.sum(1).tolist() if count)
    starts = torch.tensor([0, *accumulate((rows, *counts))])
    place, row = reached.nonzero().unbind(1)
    places = order[row] * length + place
    return PackedPieces(
        pieces.flatten()[places], counts, order, places, starts[place] + row, starts[lengths] + torch.arange(rows)
    )


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
        kept = _recur(table, weight, (hidden, cell), rows)
        _, hiddens, cells, _ = kept
        ctx.rows, ctx.characters = rows, len(table)
        ctx.save_for_backward(weight, *kept)
        return hiddens[len(hidden) :], hiddens[rows.ends], cells[rows.ends]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        weight, *kept = ctx.saved_tensors
        outputs, hidden, cell = gradients
        hidden, cell = (part.clone(memory_format=torch.contiguous_format) for part in (hidden, cell))
        gates = _recur_back(weight, kept, (outputs.contiguous(), hidden, cell), ctx.rows)
        table = torch.ops.aten.embedding_dense_backward(gates, ctx.rows.pieces, ctx.characters, -1, False)
        with torch.autocast("cpu", enabled=False):
            weights = (kept[1][ctx.rows.before].T @ gates).T
        # Every piece has the last column of the input matrix, the bias, beside its own.
        columns = torch.cat([table, table.sum(0, keepdim=True)]).T
        return columns, weights, hidden, cell, None


def _recur(table: Tensor, weight: Tensor, state: CellState, rows: PackedPieces) -> tuple[Tensor, ...]:
    """Gates (R, 4H) in torch's order, hidden states and cells (B+R, H), and the cells' tanh (R, H)."""
    (count, width), real = state[0].shape, len(rows.pieces)
    gates, squashed = table.new_empty(real, 4 * width), table.new_empty(real, width)
    hiddens, cells = (part.new_empty(count + real, width) for part in state)
    for parts, first in zip((hiddens, cells), state, strict=True):
        parts[:count] = first
    product = table.new_empty(count, 4 * width)
    step, line = _loaded().dragoman_lstm_step, FLOAT_BYTES * width
    for n, piece, before in rows.steps:
        torch.mm(hiddens[before : before + n], weight.T, out=product[:n])
        after = line * (count + piece)
        step(
            n, width, rows.pieces.data_ptr() + PIECE_BYTES * piece, table.data_ptr(), product.data_ptr(),
            cells.data_ptr() + line * before, gates.data_ptr() + 4 * line * piece, cells.data_ptr() + after,
            squashed.data_ptr() + line * piece, hiddens.data_ptr() + after,
        )  # fmt: skip
    return gates, hiddens, cells, squashed


def _recur_back(
    weight: Tensor, kept: list[Tensor], gradients: tuple[Tensor, Tensor, Tensor], rows: PackedPieces
) -> Tensor:
    """The gradient of the gates before sigmoid and tanh (R, 4H); that of the last states becomes that of the first."""
    gates, _, cells, squashed = kept
    outputs, hidden, cell = gradients
    width = weight.shape[1]
    found = torch.empty_like(gates)
    step_back, line = _loaded().dragoman_lstm_step_back, FLOAT_BYTES * width
    for n, piece, before in reversed(rows.steps):
        here = line * piece
        step_back(
            n, width, gates.data_ptr() + 4 * here, cells.data_ptr() + line * before, squashed.data_ptr() + here,
            outputs.data_ptr() + here, hidden.data_ptr(), cell.data_ptr(), found.data_ptr() + 4 * here,
        )  # fmt: skip
        torch.mm(found[piece : piece + n], weight, out=hidden[:n])
    return found


@cache
def _loaded() -> ctypes.CDLL:
    # The engine's C code is compiled when it is first asked for: decoding alone must not wait for that.
    from ..engine.native_library import native_library

    library = native_library()
    for function, pointers in ((library.dragoman_lstm_step, 8), (library.dragoman_lstm_step_back, 7)):
        function.restype, function.argtypes = None, [c_int, c_int, *[c_void_p] * pointers]
    return library


@cache
def _library() -> ctypes.CDLL | None:
    try:
        return _loaded()
    except ConfigurationError:
        return None
