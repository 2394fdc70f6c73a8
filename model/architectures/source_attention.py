"""How a recurrent decoder looks at its source. Knows tensors only.

Bahdanau et al. 2015, arXiv:1409.0473 (additive); Luong et al. 2015, arXiv:1508.04025 (dot, general, concat). Letters:
B batch, S source length, T target length, H width of a state; boolean masks are True for a real token.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, Self

import torch
from torch import Tensor, nn

from ..arithmetic import dot, dots, mix

AttentionKind = Literal["bahdanau", "luong-dot", "luong-general", "luong-concat"]


@dataclass(frozen=True, slots=True)
class Memory:
    """An encoded source: what is read (B, S, H), what it is found by (B, S, H), and which places are real (B, S)."""

    values: Tensor
    keys: Tensor
    mask: Tensor

    def select(self, rows: Tensor) -> Self:
        """The memory of `rows`, in that order."""
        return type(self)(self.values[rows], self.keys[rows], self.mask[rows])


class SourceAttention(nn.Module, ABC):
    """Scores every place of the source for a query and reads their mean, weighted by the softmax of the scores."""

    @abstractmethod
    def keys(self, values: Tensor) -> Tensor:
        """Made once for each source (B, S, H) -> (B, S, H)."""

    @abstractmethod
    def score(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Queries (B, T, H) and keys (B, S, H) -> (B, T, S)."""

    def remember(self, values: Tensor, mask: Tensor) -> Memory:
        """The memory of the encoder's output (B, S, H)."""
        return Memory(values, self.keys(values), mask)

    def forward(self, queries: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Queries (B, T, H) -> what they read (B, T, H) and where (B, T, S); padding is never read."""
        scores = self.score(queries, memory.keys).masked_fill(~memory.mask[:, None], float("-inf"))
        weights = scores.softmax(-1)
        return mix(weights, memory.values), weights


class DotAttention(SourceAttention):
    """The score is the dot product of the decoder's state and the encoder's output."""

    def keys(self, values: Tensor) -> Tensor:
        """The values themselves."""
        return values

    def score(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Queries (B, T, H) and keys (B, S, H) -> (B, T, S)."""
        return dots(queries, keys)


class GeneralAttention(DotAttention):
    """A dot product through a matrix."""

    def __init__(self, state: int) -> None:
        super().__init__()
        self.key = nn.Linear(state, state, bias=False)

    def keys(self, values: Tensor) -> Tensor:
        """(B, S, H) -> (B, S, H)."""
        keys: Tensor = self.key(values)
        return keys


class AdditiveAttention(SourceAttention):
    """v . tanh(W query + U value): a layer with one output. It holds B * T * S * H numbers when T run at once."""

    def __init__(self, state: int) -> None:
        super().__init__()
        self.query = nn.Linear(state, state, bias=False)
        self.key = nn.Linear(state, state, bias=False)
        self.vector = nn.Linear(state, 1, bias=False)

    def keys(self, values: Tensor) -> Tensor:
        """(B, S, H) -> (B, S, H)."""
        keys: Tensor = self.key(values)
        return keys

    def score(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Queries (B, T, H) and keys (B, S, H) -> (B, T, S)."""
        together = torch.tanh(self.query(queries)[:, :, None] + keys[:, None])  # (B, T, S, H)
        return dot(together, self.vector.weight[0])


def source_attention(kind: AttentionKind, state: int) -> SourceAttention:
    """The attention of that kind over states of width `state`."""
    match kind:
        case "luong-dot":
            return DotAttention()
        case "luong-general":
            return GeneralAttention(state)
        case "luong-concat" | "bahdanau":
            return AdditiveAttention(state)
