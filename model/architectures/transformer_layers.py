"""The layers of the Transformer and what decoding remembers of them. Knows tensors only.

Letters: B batch, N rows of a running decode, S source length, T target length, D width, H heads, d = D/H.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Self

import torch
from torch import Tensor, nn

from .attention import Attention
from .dropout import Dropout

# Where the norm stands: before a sublayer (Xiong et al. 2020, arXiv:2002.04745) or after the sum (Vaswani et al. 2017).
Norm = Literal["pre", "post"]
# GELU is the exact one (Hendrycks and Gimpel 2016, arXiv:1606.08415); swish is x * sigmoid(x) (arXiv:1710.05941).
Activation = Literal["relu", "gelu", "swish"]
ACTIVATIONS: dict[Activation, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "swish": nn.SiLU}


@dataclass(frozen=True, slots=True)
class LayerShape:
    """Shape of one layer; `feed_forward` is the width inside its feed-forward sublayer."""

    width: int
    heads: int
    feed_forward: int
    dropout: float
    norm: Norm
    activation: Activation


class DecoderState:
    """What decoding remembers of N rows: per layer, keys and values of source and of target so far."""

    def __init__(self, cross: list[tuple[Tensor, Tensor]], source_mask: Tensor) -> None:
        self.cross = cross
        self.source_mask = source_mask
        self.past: list[tuple[Tensor, Tensor] | None] = [None] * len(cross)
        self.position = 0
        self.keep_attention = False
        self.attention: Tensor | None = None

    def select(self, rows: Tensor) -> Self:
        """Keep `rows` (N',), in that order, in place; a row may be taken several times or not at all."""
        self.cross = [(keys[rows], values[rows]) for keys, values in self.cross]
        self.source_mask = self.source_mask[rows]
        self.past = [layer and (layer[0][rows], layer[1][rows]) for layer in self.past]
        self.attention = None if self.attention is None else self.attention[rows]
        return self

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Add one position to a layer's cache; returns all keys and values so far."""
        past = self.past[layer]
        if past is not None:
            keys, values = torch.cat([past[0], keys], 2), torch.cat([past[1], values], 2)
        self.past[layer] = (keys, values)
        return keys, values


class FeedForward(nn.Sequential):
    """Two linear layers with an activation between."""

    def __init__(self, shape: LayerShape) -> None:
        super().__init__(
            nn.Linear(shape.width, shape.feed_forward),
            ACTIVATIONS[shape.activation](),
            nn.Linear(shape.feed_forward, shape.width),
        )


class Layer(nn.Module):
    """What the layers of encoder and decoder share: self-attention, a feed-forward sublayer, residual sums."""

    def __init__(self, shape: LayerShape) -> None:
        super().__init__()
        self.norm_comes_first = shape.norm == "pre"
        self.attention, self.attention_norm = Attention(shape.width, shape.heads), nn.LayerNorm(shape.width)

    def _add_feed_forward(self, shape: LayerShape) -> None:
        # Last, in the decoder too: the order of parameters is that of the random numbers they begin with.
        self.feed_forward, self.feed_forward_norm = FeedForward(shape), nn.LayerNorm(shape.width)
        self.dropout = Dropout(shape.dropout)

    def _residual(self, x: Tensor, norm: nn.Module, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        if self.norm_comes_first:
            output: Tensor = x + self.dropout(sublayer(norm(x)))
        else:
            output = norm(x + self.dropout(sublayer(x)))
        return output

    def _feed_forward(self, x: Tensor) -> Tensor:
        return self._residual(x, self.feed_forward_norm, self.feed_forward)


class EncoderLayer(Layer):
    """Self-attention over the whole source, then the feed-forward sublayer."""

    def __init__(self, shape: LayerShape) -> None:
        super().__init__(shape)
        self._add_feed_forward(shape)

    def forward(self, x: Tensor, mask: Tensor, rotation: Tensor | None) -> Tensor:
        """x (B, S, D) -> (B, S, D); `mask` (B, 1, 1, S), `rotation` (S, d/2, 2)."""

        def look(x: Tensor) -> Tensor:
            output: Tensor = self.attention(
                self.attention.queries(x, rotation), self.attention.project(x, rotation), mask
            )
            return output

        return self._feed_forward(self._residual(x, self.attention_norm, look))


class DecoderLayer(Layer):
    """Self-attention over the target so far, attention over the source, then the feed-forward sublayer."""

    def __init__(self, shape: LayerShape) -> None:
        super().__init__(shape)
        self.cross, self.cross_norm = Attention(shape.width, shape.heads), nn.LayerNorm(shape.width)
        self._add_feed_forward(shape)

    def forward(self, x: Tensor, memory: tuple[Tensor, Tensor], rotation: Tensor | None) -> Tensor:
        """All target positions x (B, T, D) at once, for training; `memory` (B, S, D) comes with its mask."""

        def look_back(x: Tensor) -> Tensor:
            queries, key_values = self.attention.queries(x, rotation), self.attention.project(x, rotation)
            output: Tensor = self.attention(queries, key_values, None, causal=True)
            return output

        def look_at_source(x: Tensor) -> Tensor:
            output: Tensor = self.cross(self.cross.queries(x), self.cross.project(memory[0]), memory[1])
            return output

        x = self._residual(x, self.attention_norm, look_back)
        return self._feed_forward(self._residual(x, self.cross_norm, look_at_source))

    def step(self, x: Tensor, state: DecoderState, layer: int, rotation: Tensor | None) -> Tensor:
        """One target position (N, 1, D) with the cache of `layer`."""

        def look_back(x: Tensor) -> Tensor:
            key_values = state.append(layer, *self.attention.project(x, rotation))
            output: Tensor = self.attention(self.attention.queries(x, rotation), key_values, None)
            return output

        def look_at_source(x: Tensor) -> Tensor:
            queries = self.cross.queries(x)
            if state.keep_attention and layer == len(state.cross) - 1:
                # Beside the fused attention, not instead of it: to look on changes no score.
                state.attention = self.cross.weights(queries, state.cross[layer][0], state.source_mask)[:, 0]
            output: Tensor = self.cross(queries, state.cross[layer], state.source_mask)
            return output

        x = self._residual(x, self.attention_norm, look_back)
        return self._feed_forward(self._residual(x, self.cross_norm, look_at_source))
