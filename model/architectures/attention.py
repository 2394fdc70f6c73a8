"""Scaled dot-product attention with several heads (Vaswani et al. 2017, arXiv:1706.03762). Knows tensors only.

Letters: B batch, T positions that look, S positions that are looked at, D width, H heads, d = D/H.
"""

import math

from torch import Tensor, nn

from ..arithmetic import attend, dots
from .positions import rotate


class Attention(nn.Module):
    """Multi-head attention; the projections of keys and values are one matrix."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.output = nn.Linear(width, width)

    def project(self, memory: Tensor, rotation: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Keys, turned by `rotation` (S, d/2, 2), and values of `memory`: (B, S, D) -> two of (B, H, S, d)."""
        keys, values = self.key_value(memory).chunk(2, -1)
        return self._split(keys, rotation), self._split(values, None)

    def queries(self, x: Tensor, rotation: Tensor | None = None) -> Tensor:
        """What x (B, T, D) asks for, turned by `rotation` (T, d/2, 2): (B, H, T, d)."""
        return self._split(self.query(x), rotation)

    def forward(
        self, queries: Tensor, key_values: tuple[Tensor, Tensor], mask: Tensor | None, causal: bool = False
    ) -> Tensor:
        """Attend with `queries` (B, H, T, d); `mask` broadcasts to (B, H, T, S); the answer is (B, T, D)."""
        keys, values = key_values
        mixed = attend(queries, keys, values, mask, causal=causal)
        output: Tensor = self.output(mixed.transpose(1, 2).flatten(2))  # (B, H, T, d) -> (B, T, D)
        return output

    def weights(self, queries: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
        """How much each position looks at each other one, the mean over the heads: (B, T, S), rows sum to 1."""
        scores = dots(queries, keys) / math.sqrt(queries.shape[-1])
        return scores.masked_fill(~mask, float("-inf")).softmax(-1).mean(1)  # (B, H, T, S) -> (B, T, S)

    def _split(self, x: Tensor, rotation: Tensor | None) -> Tensor:
        rows, length, _ = x.shape
        heads = x.view(rows, length, self.heads, -1).transpose(1, 2)  # (B, T, D) -> (B, H, T, d)
        return heads if rotation is None else rotate(heads, rotation)
