"""LSTM and GRU layers whose results do not depend on padding. Knows tensors only.

Where padding is read before real tokens (on its left, or by the backward half of a bidirectional layer), an input of
zeros must leave a state of zeros as it is. An LSTM or GRU without biases does just that: its new content is tanh(0).
So these layers have no biases; one more input, 1 for a real token and 0 for padding, takes their place, and its
column of the input matrix is the bias. The layers then run fused over the whole padded batch: packed sequences, the
usual way, took twice as long on a CPU. Letters: B batch, N rows of a running decode, S source length, T target
length, H width of a state, L layers.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from .dropout import Dropout

Cell = Literal["lstm", "gru"]
# Of an LSTM: the hidden state and the memory cell; of a GRU: the hidden state. Each (N, H).
CellState = tuple[Tensor, ...]
LAYERS: dict[Cell, type[nn.LSTM] | type[nn.GRU]] = {"lstm": nn.LSTM, "gru": nn.GRU}
STATE_PARTS: dict[Cell, int] = {"lstm": 2, "gru": 1}


def mark_real(x: Tensor, mask: Tensor) -> Tensor:
    """x (B, S, D) with zeros on padding, and a column more that is 1 for a real token: (B, S, D+1)."""
    real = mask[..., None].type_as(x)
    return torch.cat([x * real, real], -1)


def run_fused(layer: nn.Module, x: Tensor, state: CellState = ()) -> tuple[Tensor, CellState]:
    """A layer over all places x (B, S, D) from `state` (zeros where none is given) -> its outputs, its last state.

    That of a bidirectional layer is its forward half's. On a CPU it runs in 32 bits under autocast: oneDNN refuses to
    train an LSTM in bfloat16 where the processor has no such arithmetic.
    """
    if x.is_cpu and torch.is_autocast_enabled("cpu"):
        with torch.autocast("cpu", enabled=False):
            return run_fused(layer, x.float(), tuple(part.float() for part in state))
    start = tuple(part[None].contiguous() for part in state)  # (B, H) -> (1, B, H)
    output, last = layer(x, (start if len(start) > 1 else start[0]) if start else None)
    return output, tuple(part[0] for part in (last if isinstance(last, tuple) else (last,)))


class BidirectionalEncoder(nn.Module):
    """Layers that read the source in both directions; each gives the outputs of both side by side."""

    def __init__(self, cell: Cell, width: int, state: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            LAYERS[cell]((state if number else width) + 1, state // 2, bias=False, batch_first=True, bidirectional=True)
            for number in range(layers)
        )

    def forward(self, x: Tensor, mask: Tensor, dropout: Dropout) -> tuple[Tensor, Tensor]:
        """x (B, S, D) -> the output at each place (B, S, H), and what each direction ends with, side by side (B, H)."""
        for number, layer in enumerate(self.layers):
            x, _ = run_fused(layer, mark_real(dropout(x) if number else x, mask))
        half = x.shape[-1] // 2
        last = (mask.sum(1) - 1)[:, None, None].expand(-1, 1, half)
        ends = torch.cat([x[..., :half].gather(1, last)[:, 0], x[:, 0, half:]], -1)
        return x, ends


class DecoderCells(nn.Module):
    """Layers that run forward through the target, all positions in one fused call or one position at a time."""

    def __init__(self, cell: Cell, width: int, state: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            LAYERS[cell](state if number else width, state, batch_first=True) for number in range(layers)
        )

    def forward(self, x: Tensor, states: Sequence[CellState], drops: Sequence[Tensor | None]) -> Tensor:
        """Inputs x (B, T, D) -> the top layer's hidden states (B, T, H).

        `drops` has a mask (B, 1, H), or None, for the input of each layer but the first.
        """
        for layer, state, drop in zip(self.layers, states, [None, *drops], strict=True):
            x, _ = run_fused(layer, x if drop is None else x * drop, state)
        return x

    def step(self, x: Tensor, states: Sequence[CellState], drops: Sequence[Tensor | None]) -> list[CellState]:
        """One input x (N, D) -> the new state of every layer."""
        after: list[CellState] = []
        for layer, state, drop in zip(self._typed_layers(), states, [None, *drops], strict=True):
            x = x if drop is None else x * drop[:, 0]
            after.append(_advance(layer, x, state))
            x = after[-1][0]
        return after

    def _typed_layers(self) -> list[nn.LSTM | nn.GRU]:
        return [layer for layer in self.layers if isinstance(layer, nn.LSTM | nn.GRU)]


def _advance(layer: nn.LSTM | nn.GRU, x: Tensor, state: CellState) -> CellState:
    input_weight, hidden_weight, *biases = layer.all_weights[0]
    if isinstance(layer, nn.LSTM):
        return torch.lstm_cell(x, state, input_weight, hidden_weight, *biases)
    return (torch.gru_cell(x, state[0], input_weight, hidden_weight, *biases),)


def initialise_recurrent(layer: nn.LSTM | nn.GRU) -> None:
    """As Keras: input matrices uniform (Glorot and Bengio 2010), recurrent ones orthogonal (Saxe et al. 2014,
    arXiv:1312.6120), biases 0, but 1 for the forget gate of an LSTM (Jozefowicz et al. 2015).
    """
    for name, parameter in layer.named_parameters():
        if name.startswith("weight_hh"):
            nn.init.orthogonal_(parameter)
        elif name.startswith("weight_ih"):
            nn.init.xavier_uniform_(parameter)
            if not layer.bias:
                _initialise_bias(layer, parameter.detach()[:, -1])
        else:
            _initialise_bias(layer, parameter.detach(), forget=float(name.startswith("bias_ih")))


def _initialise_bias(layer: nn.LSTM | nn.GRU, bias: Tensor, forget: float = 1.0) -> None:
    bias.zero_()
    if isinstance(layer, nn.LSTM):
        # torch keeps the gates in the order input, forget, cell, output.
        bias[layer.hidden_size : 2 * layer.hidden_size] = forget
