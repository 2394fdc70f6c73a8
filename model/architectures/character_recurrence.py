"""An LSTM over characters for training on a CPU: the recurrence and its gradient, written out. Knows tensors only.

It computes what `torch.nn.LSTM` computes of one-hot characters (see `recurrent_layers` for its bias), with less
arithmetic: what a character adds to the gates is looked up instead of multiplied, which is a quarter of the products
for a width of 256; padding is never read, since rows are sorted by length and those that have ended leave; and the
gradients of all places meet in one product. As everywhere here, tanh(x) is 2 * sigmoid(2x) - 1: torch's own tanh is
several times slower on a CPU. Letters: B rows, S places, R real pieces, V vocabulary, H width; n rows at a place.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ..vocabularies.vocabulary import PAD
from .recurrent_layers import CellState

_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input
_tanh_backward = torch.ops.aten.tanh_backward.grad_input


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


def run_looked_up(layer: nn.LSTM, rows: PackedPieces, state: CellState) -> tuple[Tensor, CellState]:
    """A layer over packed rows from `state`, two of (B, H) -> its outputs (R, H), and what each row ends with.

    The layer has no biases: the last column of its input matrix takes their place. Works in 32 bits under autocast.
    """
    columns = layer.get_parameter("weight_ih_l0")
    table = (columns[:, :-1] + columns[:, -1:]).T
    hidden, cell = (part[rows.order] for part in state)
    outputs, hidden, cell = _Recurrence.apply(table, layer.get_parameter("weight_hh_l0"), hidden, cell, rows)
    back = rows.order.argsort()
    return outputs, (hidden[back], cell[back])


class _Recurrence(torch.autograd.Function):
    """Looked-up gates (V, 4H), recurrent weights (4H, H), states (B, H), rows -> outputs (R, H), last states (B, H)."""

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.float32)
    def forward(ctx: Any, *given: Any) -> tuple[Tensor, Tensor, Tensor]:
        table, weight, hidden, cell, rows = given
        kept = _recur(*_with_doubled_content(table, weight), (hidden, cell), rows)
        _, hiddens, cells, _ = kept
        ctx.rows, ctx.characters = rows, len(table)
        ctx.save_for_backward(weight, *kept)
        return hiddens[len(hidden) :], hiddens[rows.ends], cells[rows.ends]

    @staticmethod
    @once_differentiable
    @torch.amp.custom_bwd(device_type="cpu")
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        weight, *kept = ctx.saved_tensors
        outputs, hidden, cell = gradients
        hidden, cell = hidden.clone(), cell.clone()
        gates = _recur_back(weight, kept, (outputs, hidden, cell), ctx.rows.counts)
        table = torch.ops.aten.embedding_dense_backward(gates, ctx.rows.pieces, ctx.characters, -1, False)
        weights = (kept[1][ctx.rows.before].T @ gates).T
        return table, weights, hidden, cell, None


def _with_doubled_content(table: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Both with the part of the new content doubled, so that one sigmoid serves all gates."""
    width = weight.shape[1]
    scale = weight.new_ones(4 * width)
    scale[2 * width : 3 * width] = 2
    return table * scale, weight * scale[:, None]


def _recur(table: Tensor, weight: Tensor, state: CellState, rows: PackedPieces) -> tuple[Tensor, ...]:
    """Gates (R, 4H) in torch's order, hidden states and cells (B+R, H), and the cells' tanh (R, H)."""
    (count, width), real = state[0].shape, len(rows.pieces)
    gates, squashed = table.new_empty(real, 4 * width), table.new_empty(real, width)
    hiddens, cells = (torch.cat([part, part.new_empty(real, width)]) for part in state)
    minus_one = table.new_tensor(-1.0)
    views = zip(
        *(part.split(rows.counts) for part in (rows.pieces, gates, squashed, hiddens[count:], cells[count:])),
        *(part.split((count, *rows.counts)) for part in (hiddens, cells)),
        *_gates(gates, rows.counts),
        strict=False,
    )
    for pieces, all_gates, tanh, hidden, cell, hidden_before, cell_before, enter, forget, content, leave in views:
        torch.index_select(table, 0, pieces, out=all_gates)
        all_gates.addmm_(hidden_before[: len(pieces)], weight.T).sigmoid_()
        torch.add(minus_one, content, alpha=2, out=content)
        torch.mul(forget, cell_before[: len(pieces)], out=cell).addcmul_(enter, content)
        torch.mul(cell, 2, out=tanh).sigmoid_()
        torch.add(minus_one, tanh, alpha=2, out=tanh)
        torch.mul(leave, tanh, out=hidden)
    return gates, hiddens, cells, squashed


def _recur_back(
    weight: Tensor, kept: Sequence[Tensor], gradients: tuple[Tensor, Tensor, Tensor], counts: tuple[int, ...]
) -> Tensor:
    """The gradient of the gates before sigmoid and tanh (R, 4H); that of the last states becomes that of the first."""
    gates, _, cells, squashed = kept
    outputs, hidden_gradient, cell_gradient = gradients
    count = len(hidden_gradient)
    before, spare = torch.empty_like(gates), torch.empty_like(hidden_gradient)
    views = zip(
        *(part.split(counts) for part in (before, outputs, squashed)),
        cells.split((count, *counts)),
        *_gates(gates, counts),
        *_gates(before, counts),
        strict=False,
    )
    for all_gates, output, tanh, cell_before, enter, forget, content, leave, *into in reversed(list(views)):
        n = len(output)
        hidden, cell, product = hidden_gradient[:n], cell_gradient[:n], spare[:n]
        hidden += output
        _sigmoid_backward(torch.mul(hidden, tanh, out=product), leave, grad_input=into[3])
        cell += _tanh_backward(torch.mul(hidden, leave, out=product), tanh, grad_input=product)
        _sigmoid_backward(torch.mul(cell, content, out=product), enter, grad_input=into[0])
        _sigmoid_backward(torch.mul(cell, cell_before[:n], out=product), forget, grad_input=into[1])
        _tanh_backward(torch.mul(cell, enter, out=product), content, grad_input=into[2])
        cell *= forget
        torch.mm(all_gates, weight, out=hidden)
    return before


def _gates(gates: Tensor, counts: tuple[int, ...]) -> list[tuple[Tensor, ...]]:
    """Views of (R, 4H), a list for each gate and in it one (n, H) for each place."""
    return [part.split(counts) for part in gates.chunk(4, 1)]
