"""The decoders of Bahdanau and of Luong: when they look at the source, and what they make of it. Tensors only.

Letters: B batch, N rows of a running decode, S source length, T target length, D width of embeddings and of what a
decoder hands to the output layer, H width of a state.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

from .recurrent_layers import CellState, DecoderCells
from .source_attention import Memory, SourceAttention


class RecurrentState:
    """What decoding remembers of N rows: the source, the state of every layer, and what is fed back, if anything is.

    `translations` (N, S, V) is what a lexicon says of each source piece, where there is one; `looks` (N, T, S) is where
    the places decoded last looked.
    """

    def __init__(self, memory: Memory, cells: list[CellState]) -> None:
        self.memory = memory
        self.cells = cells
        self.fed: Tensor | None = None
        self.translations: Tensor | None = None
        self.looks: Tensor | None = None
        self.keep_attention = False
        self.attention: Tensor | None = None

    def select(self, rows: Tensor) -> Self:
        """Keep `rows` (N',), in that order, in place; a row may be taken several times or not at all."""
        self.memory = self.memory.select(rows)
        self.cells = [tuple(part[rows] for part in cell) for cell in self.cells]
        self.fed = None if self.fed is None else self.fed[rows]
        self.translations = None if self.translations is None else self.translations[rows]
        self.attention = None if self.attention is None else self.attention[rows]
        return self

    def look(self, attention: SourceAttention, queries: Tensor) -> Tensor:
        """What queries (N, H) read from the source: (N, H)."""
        context, weights = attention(queries[:, None], self.memory)
        self.looks = weights
        if self.keep_attention:
            self.attention = weights[:, 0]
        read: Tensor = context[:, 0]
        return read


class Decoder(nn.Module, ABC):
    """Recurrent layers, an attention, and a readout: tanh of a linear layer."""

    def __init__(self, cells: DecoderCells, attention: SourceAttention, readout: nn.Linear) -> None:
        super().__init__()
        self.cells, self.attention, self.readout = cells, attention, readout

    @abstractmethod
    def forward(self, pieces: Tensor, state: RecurrentState, drops: Sequence[Tensor | None]) -> Tensor:
        """Embedded target (B, T, D) from a fresh state on -> (B, T, D); `drops` as `DecoderCells` takes them."""

    @abstractmethod
    def step(self, piece: Tensor, state: RecurrentState) -> Tensor:
        """One embedded piece (N, D) -> (N, D); `state` moves one position on."""

    def read_out(self, *parts: Tensor) -> Tensor:
        """Parts (..., H or D) side by side -> (..., D)."""
        return torch.tanh(self.readout(torch.cat(parts, -1)))


class BahdanauDecoder(Decoder):
    """Looks with its previous state, then moves on with what it read (arXiv:1409.0473).

    The readout is a tanh layer over state, context and last piece, where the paper has a maxout layer.
    """

    def forward(self, pieces: Tensor, state: RecurrentState, drops: Sequence[Tensor | None]) -> Tensor:
        """Embedded target (B, T, D) -> (B, T, D), one position after the other; only the readout runs at once."""
        moves = [self._advance(piece, state, drops) for piece in pieces.unbind(1)]
        hidden, contexts = (torch.stack(parts, 1) for parts in zip(*moves, strict=True))
        return self.read_out(hidden, contexts, pieces)

    def step(self, piece: Tensor, state: RecurrentState) -> Tensor:
        """One embedded piece (N, D) -> (N, D)."""
        hidden, context = self._advance(piece, state, [None] * (len(state.cells) - 1))
        return self.read_out(hidden, context, piece)

    def _advance(self, piece: Tensor, state: RecurrentState, drops: Sequence[Tensor | None]) -> tuple[Tensor, Tensor]:
        context = state.look(self.attention, state.cells[-1][0])
        state.cells = self.cells.step(torch.cat([piece, context], -1), state.cells, drops)
        return state.cells[-1][0], context


class LuongDecoder(Decoder):
    """Moves on, then looks with its new state (arXiv:1508.04025). All positions run in one fused call."""

    def forward(self, pieces: Tensor, state: RecurrentState, drops: Sequence[Tensor | None]) -> Tensor:
        """Embedded target (B, T, D) -> (B, T, D)."""
        hidden = self.cells(pieces, state.cells, drops)
        context, state.looks = self.attention(hidden, state.memory)
        return self.read_out(hidden, context)

    def step(self, piece: Tensor, state: RecurrentState) -> Tensor:
        """One embedded piece (N, D) -> (N, D)."""
        return self._advance(piece, state, [None] * (len(state.cells) - 1))

    def _advance(self, inputs: Tensor, state: RecurrentState, drops: Sequence[Tensor | None]) -> Tensor:
        state.cells = self.cells.step(inputs, state.cells, drops)
        hidden = state.cells[-1][0]
        return self.read_out(hidden, state.look(self.attention, hidden))


class InputFeedingDecoder(LuongDecoder):
    """Luong's decoder that is told, with each piece, what it handed to the output layer before."""

    def forward(self, pieces: Tensor, state: RecurrentState, drops: Sequence[Tensor | None]) -> Tensor:
        """Embedded target (B, T, D) -> (B, T, D), one position after the other."""
        return torch.stack([self._feed(piece, state, drops) for piece in pieces.unbind(1)], 1)

    def step(self, piece: Tensor, state: RecurrentState) -> Tensor:
        """One embedded piece (N, D) -> (N, D)."""
        return self._feed(piece, state, [None] * (len(state.cells) - 1))

    def _feed(self, piece: Tensor, state: RecurrentState, drops: Sequence[Tensor | None]) -> Tensor:
        fed = torch.zeros_like(piece) if state.fed is None else state.fed
        state.fed = self._advance(torch.cat([piece, fed], -1), state, drops)
        return state.fed
