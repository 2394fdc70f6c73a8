"""One step of all rows of a lane through the decoder, on static buffers. Knows no search.

Letters: B segments, K rows each, N = B*K, S and T source and target positions a step looks at, D width, H heads,
d = D/H, V vocabulary padded to blocks.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...architectures.positions import rotate
from ...architectures.transformer_layers import DecoderLayer
from .fused import FusedTransformer
from .lane_state import NEVER, LaneState


@dataclass(frozen=True, slots=True)
class Extent:
    """The part of a lane's buffers that a step looks at: the first so many segments and positions.

    It looks at `shortlists` only where a segment has one: a pass over all scores, which others need not pay for.
    """

    segments: int
    source: int
    target: int
    shortlists: bool = False


@dataclass(frozen=True, slots=True)
class _Step:
    """What all layers of one step share; masks are 0 where a row may look and -inf elsewhere."""

    state: LaneState
    extent: Extent
    places: Tensor  # (N,): where each row writes its keys and values, in the cache of a layer as a list of rows
    self_mask: Tensor  # (B, 1, K, T*K)
    source_mask: Tensor  # (B, 1, 1, S)
    rotation: Tensor | None  # (B, 1, 1, 1, d/2, 2)


class Decoder:
    """Steps the rows of lanes; what it does depends on the extent and not on what the buffers hold.

    So a step can be captured: nothing is read on the host. Rows write into the whole buffers and look at the extent;
    segments that are done may stand beyond it.
    """

    def __init__(self, fused: FusedTransformer) -> None:
        self._fused = fused
        self._network = fused.network
        self._codes = self._network.positions
        if fused.config.positions == "learned":
            self._codes = self._network.decoder_positions

    def scores(self, state: LaneState, extent: Extent) -> Tensor:
        """Feed the last piece of each row; scores (N, V) of the next ones in float32, and keys and values cached.

        Columns beyond the vocabulary are -inf.
        """
        segments = extent.segments
        step = self._begin(state, extent)
        x = self._embed(state.pieces[:segments], state.position[:segments])  # (B, K, D)
        for number, layer in enumerate(self._fused.layers):
            x = self._layer(x, number, layer, step)
        return self._output(self._network.decoder_norm(x).flatten(0, 1))

    def _begin(self, state: LaneState, extent: Extent) -> _Step:
        segments, rows = extent.segments, state.pieces.shape[1]
        position = state.position[:segments]
        here = torch.arange(rows, device=position.device)
        first = torch.arange(segments, device=position.device) * state.prefix.shape[1]
        places = ((first + position)[:, None] * rows + here).flatten()
        at = position[:, None, None].expand(segments, rows, 1)
        # From now on each row sees what it writes itself in this step.
        state.ancestors[:segments].scatter_(2, at, here[:, None].expand(segments, rows, 1).to(torch.int8))
        seen = state.ancestors[:segments, :, : extent.target, None] == here  # (B, K, T, K)
        source = torch.arange(extent.source, device=position.device) < state.source_length[:segments, None]
        rotation = None
        if self._codes is not None and self._fused.config.positions == "rotary":
            rotation = self._codes[position][:, None, None, None]
        return _Step(
            state,
            extent,
            places,
            self._additive(seen.flatten(2)[:, None]),
            self._additive(source[:, None, None]),
            rotation,
        )

    def _additive(self, mask: Tensor) -> Tensor:
        return torch.zeros_like(mask, dtype=self._fused.dtype).masked_fill_(~mask, NEVER)

    def _embed(self, pieces: Tensor, position: Tensor) -> Tensor:
        x = self._network.embedding(pieces) * self._network.scale
        if self._codes is not None and self._fused.config.positions != "rotary":
            x = x + self._codes[position][:, None]
        embedded: Tensor = self._network.decoder_embedding_norm(x)
        return embedded

    def _layer(self, x: Tensor, number: int, layer: DecoderLayer, step: _Step) -> Tensor:
        def look_back(x: Tensor) -> Tensor:
            output: Tensor = layer.attention.output(self._self_attention(x, number, step))
            return output

        def look_at_source(x: Tensor) -> Tensor:
            output: Tensor = layer.cross.output(self._cross_attention(layer.cross.query(x), number, step))
            return output

        x = _residual(x, layer, layer.attention_norm, look_back)
        x = _residual(x, layer, layer.cross_norm, look_at_source)
        return _residual(x, layer, layer.feed_forward_norm, layer.feed_forward)

    def _self_attention(self, x: Tensor, number: int, step: _Step) -> Tensor:
        segments, rows, width = x.shape
        together = self._fused.self_products[number](x).view(segments, rows, 3, self._fused.heads, -1)
        if step.rotation is not None:
            turned = rotate(together[:, :, :2], step.rotation)
            together = torch.cat([turned, together[:, :, 2:]], 2)
        cache = step.state.self_cache[number]  # (B', T', K, 2, H, d)
        # (B, K, 2, H, d) -> (N, 2D), a row of the cache each
        cache.view(-1, 2 * width).index_copy_(0, step.places, together[:, :, 1:].reshape(-1, 2 * width))
        seen = cache[:segments, : step.extent.target].flatten(1, 2)  # (B, T*K, 2, H, d)
        return _attend(together[:, :, 0], seen, step.self_mask)

    def _cross_attention(self, queries: Tensor, number: int, step: _Step) -> Tensor:
        segments, rows, _ = queries.shape
        seen = step.state.cross_cache[number, :segments, : step.extent.source]  # (B, S, 2, H, d)
        return _attend(queries.view(segments, rows, self._fused.heads, -1), seen, step.source_mask)

    def _output(self, hidden: Tensor) -> Tensor:
        scores = _product(hidden, self._fused.output_weight)
        vocabulary_size = self._fused.config.vocabulary_size
        bias = self._network.output_bias
        if bias is not None:
            scores[:, :vocabulary_size] += bias
        scores[:, vocabulary_size:].fill_(NEVER)
        return scores


def _residual(x: Tensor, layer: DecoderLayer, norm: nn.Module, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
    output: Tensor = x + sublayer(norm(x)) if layer.norm_comes_first else norm(x + sublayer(x))
    return output


def _attend(queries: Tensor, key_values: Tensor, mask: Tensor) -> Tensor:
    """Queries (B, K, H, d) over keys and values (B, S, 2, H, d) -> (B, K, D)."""
    keys, values = key_values.unbind(2)
    mixed = F.scaled_dot_product_attention(
        queries.transpose(1, 2), keys.transpose(1, 2), values.transpose(1, 2), attn_mask=mask
    )
    return mixed.transpose(1, 2).flatten(2)  # (B, H, K, d) -> (B, K, D)


def _product(hidden: Tensor, matrix: Tensor) -> Tensor:
    if hidden.dtype == torch.float32:
        return hidden @ matrix.t()
    if hidden.device.type == "cuda":
        from .cuda import product_in_float32

        return product_in_float32(hidden, matrix)
    return (hidden @ matrix.t()).float()
