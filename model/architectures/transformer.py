"""The Transformer encoder-decoder of "Attention Is All You Need" (Vaswani et al. 2017, arXiv:1706.03762).

Pre-norm (Xiong et al. 2020, arXiv:2002.04745), sinusoidal positions, one embedding shared by source, target and
output (Press and Wolf 2017). Knows tensors only: no text, no files. Letters: B batch, S source length, T target
length, D width, H heads, V vocabulary; boolean masks are True for a real token.
"""

import math
from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..vocabularies.vocabulary import PAD
from .network import Network


@dataclass(frozen=True, slots=True)
class TransformerConfig:
    """Shape of a Transformer; `width` must divide by `heads`."""

    vocabulary_size: int
    width: int = 256
    heads: int = 4
    feed_forward: int = 1024
    encoder_layers: int = 4
    decoder_layers: int = 2
    dropout: float = 0.1
    max_positions: int = 512


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
        return self

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Add one position to a layer's cache; returns all keys and values so far."""
        past = self.past[layer]
        if past is not None:
            keys, values = torch.cat([past[0], keys], 2), torch.cat([past[1], values], 2)
        self.past[layer] = (keys, values)
        return keys, values


class Dropout(nn.Module):
    """Drops whole features of a segment: one mask for all positions (Gal and Ghahramani 2016, arXiv:1512.05287).

    Drawing random numbers for every position takes a tenth of a training step on a CPU.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, D) -> the same shape; does nothing outside training."""
        if not self.training or self.probability == 0:
            return x
        return x * F.dropout(x.new_ones(x.shape[0], 1, x.shape[2]), self.probability)


class Attention(nn.Module):
    """Multi-head attention; the projections of keys and values are one matrix."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.query = nn.Linear(config.width, config.width)
        self.key_value = nn.Linear(config.width, 2 * config.width)
        self.output = nn.Linear(config.width, config.width)

    def project(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of `memory`: (B, S, D) -> two of (B, H, S, D/H)."""
        keys, values = self.key_value(memory).chunk(2, -1)
        return self._split(keys), self._split(values)

    def forward(self, x: Tensor, key_values: tuple[Tensor, Tensor], mask: Tensor | None, causal: bool) -> Tensor:
        """Attend from x (B, T, D); `mask` broadcasts to (B, H, T, S)."""
        keys, values = key_values
        mixed = F.scaled_dot_product_attention(self._split(self.query(x)), keys, values, mask, is_causal=causal)
        output: Tensor = self.output(mixed.transpose(1, 2).flatten(2))  # (B, H, T, D/H) -> (B, T, D)
        return output

    def _split(self, x: Tensor) -> Tensor:
        rows, length, _ = x.shape
        return x.view(rows, length, self.heads, -1).transpose(1, 2)  # (B, T, D) -> (B, H, T, D/H)


class FeedForward(nn.Sequential):
    """Two linear layers with a ReLU between."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__(
            nn.Linear(config.width, config.feed_forward),
            nn.ReLU(),
            nn.Linear(config.feed_forward, config.width),
        )


class EncoderLayer(nn.Module):
    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.attention, self.attention_norm = Attention(config), nn.LayerNorm(config.width)
        self.feed_forward, self.feed_forward_norm = FeedForward(config), nn.LayerNorm(config.width)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        normed = self.attention_norm(x)
        x = x + self.dropout(self.attention(normed, self.attention.project(normed), mask, causal=False))
        output: Tensor = x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))
        return output


class DecoderLayer(nn.Module):
    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.attention, self.attention_norm = Attention(config), nn.LayerNorm(config.width)
        self.cross, self.cross_norm = Attention(config), nn.LayerNorm(config.width)
        self.feed_forward, self.feed_forward_norm = FeedForward(config), nn.LayerNorm(config.width)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        """All target positions at once, for training."""
        normed = self.attention_norm(x)
        x = x + self.dropout(self.attention(normed, self.attention.project(normed), None, causal=True))
        return self._after_self_attention(x, self.cross.project(memory), mask)

    def step(self, x: Tensor, state: DecoderState, layer: int) -> Tensor:
        """One target position (N, 1, D) with the cache of `layer`."""
        normed = self.attention_norm(x)
        key_values = state.append(layer, *self.attention.project(normed))
        x = x + self.attention(normed, key_values, None, causal=False)
        return self._after_self_attention(x, state.cross[layer], state.source_mask)

    def _after_self_attention(self, x: Tensor, key_values: tuple[Tensor, Tensor], mask: Tensor) -> Tensor:
        x = x + self.dropout(self.cross(self.cross_norm(x), key_values, mask, causal=False))
        output: Tensor = x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))
        return output


class Transformer(Network):
    """Source pieces in, scores of the next target piece out."""

    positions: Tensor

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary_size, config.width, padding_idx=PAD)
        self.encoder = nn.ModuleList(EncoderLayer(config) for _ in range(config.encoder_layers))
        self.decoder = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))
        self.encoder_norm, self.decoder_norm = nn.LayerNorm(config.width), nn.LayerNorm(config.width)
        self.dropout = Dropout(config.dropout)
        self.register_buffer("positions", self.position_codes(config), persistent=False)
        self._initialise()

    @staticmethod
    def position_codes(config: TransformerConfig) -> Tensor:
        """The codes added to the embeddings: (max_positions, D); computed, so never stored."""
        return sinusoids(config.max_positions, config.width)

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """Source (B, S) padded with PAD -> memory (B, S, D) and its mask (B, 1, 1, S)."""
        mask = (source != PAD)[:, None, None, :]
        x = self.dropout(self._embed(source, 0))
        for layer in self.encoder:
            x = layer(x, mask)
        return self.encoder_norm(x), mask

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Decoder output (B, T, D) at every position of `target` (B, T), which begins with BEGIN."""
        memory, mask = self.encode(source)
        x = self.dropout(self._embed(target, 0))
        for layer in self.decoder:
            x = layer(x, memory, mask)
        output: Tensor = self.decoder_norm(x)
        return output

    def logits(self, hidden: Tensor) -> Tensor:
        """Decoder output (..., D) -> scores of every piece (..., V)."""
        return F.linear(hidden, self.embedding.weight)

    def start(self, source: Tensor) -> DecoderState:
        """Encode `source` (B, S) once and return the state that `step` continues from."""
        memory, mask = self.encode(source)
        return DecoderState([layer.cross.project(memory) for layer in self.decoder], mask)  # type: ignore[operator, union-attr]

    def step(self, pieces: Tensor, state: DecoderState) -> Tensor:
        """Feed the last pieces (N,) and get the scores of the next ones (N, V); `state` moves one position on."""
        x = self._embed(pieces[:, None], state.position)
        for number, layer in enumerate(self.decoder):
            x = layer.step(x, state, number)  # type: ignore[operator]
        state.position += 1
        return self.logits(self.decoder_norm(x)[:, 0])

    def restore_buffers(self) -> None:
        """Compute the position codes again, on the device of the weights."""
        with self.embedding.weight.device:
            self.positions = self.position_codes(self.config)

    def _embed(self, pieces: Tensor, first_position: int) -> Tensor:
        positions = self.positions[first_position : first_position + pieces.shape[1]]
        embedded: Tensor = self.embedding(pieces) * math.sqrt(self.config.width) + positions
        return embedded

    def _initialise(self) -> None:
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        nn.init.normal_(self.embedding.weight, std=self.config.width**-0.5)
        with torch.no_grad():
            self.embedding.weight[PAD].zero_()


def sinusoids(count: int, width: int) -> Tensor:
    """Position codes (count, width): sine on even columns, cosine on odd ones."""
    angles = torch.arange(count)[:, None] * torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    codes = torch.empty(count, width)
    codes[:, 0::2], codes[:, 1::2] = angles.sin(), angles.cos()
    return codes
