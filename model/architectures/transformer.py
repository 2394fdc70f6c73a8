"""The Transformer encoder-decoder of "Attention Is All You Need" (Vaswani et al. 2017, arXiv:1706.03762).

By default pre-norm (Xiong et al. 2020, arXiv:2002.04745), sinusoidal positions, one embedding for source, target and
output (Press and Wolf 2017, arXiv:1608.05859); every Marian model is a shape of it too. A deep encoder over a shallow
decoder (Kasai et al. 2021, arXiv:2006.10369) is a shape as well. Knows tensors only: no text, no files. Letters:
B batch, S source length, T target length, D width, H heads, d = D/H, V vocabulary; boolean masks are True for a real
token.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ..vocabularies.vocabulary import PAD
from .dropout import Dropout
from .embedded import EmbeddedNetwork, Embeddings, EmbeddingShape
from .positions import Positions, rotations, sinusoids, sinusoids_in_halves
from .shape_checks import check_shape
from .transformer_layers import Activation, DecoderLayer, DecoderState, EncoderLayer, LayerShape, Norm


@dataclass(frozen=True, slots=True)
class TransformerConfig:
    """Shape of a Transformer; the defaults of what stands below `max_positions` are the first published checkpoint's.

    `vocabulary_size` is the target's, and the source's unless `source_vocabulary_size` says otherwise; the decoder
    has the encoder's `heads` and `feed_forward` unless it has its own. Raises `ValueError` for an impossible shape.
    """

    vocabulary_size: int
    width: int = 256
    heads: int = 4
    feed_forward: int = 1024
    encoder_layers: int = 4
    decoder_layers: int = 2
    dropout: float = 0.1
    max_positions: int = 512
    norm: Norm = "pre"
    positions: Positions = "sinusoidal"
    activation: Activation = "relu"
    embeddings: Embeddings = "tied"
    embedding_scale: Literal["root-width", "none"] = "root-width"
    embedding_norm: Literal["none", "layer"] = "none"
    output_bias: Literal["none", "learned"] = "none"
    source_vocabulary_size: int | None = None
    decoder_heads: int | None = None
    decoder_feed_forward: int | None = None

    def __post_init__(self) -> None:
        check_shape(self)
        for layer in (self.encoder_layer, self.decoder_layer):
            if self.width % layer.heads:
                raise ValueError(f"a width of {self.width} cannot be split into {layer.heads} heads of equal width")
        if self.positions == "rotary":
            self._check_rotary()
        _ = self.matrices

    @property
    def encoder_layer(self) -> LayerShape:
        return LayerShape(self.width, self.heads, self.feed_forward, self.dropout, self.norm, self.activation)

    @property
    def decoder_layer(self) -> LayerShape:
        heads, feed_forward = self.decoder_heads or self.heads, self.decoder_feed_forward or self.feed_forward
        return LayerShape(self.width, heads, feed_forward, self.dropout, self.norm, self.activation)

    @property
    def matrices(self) -> EmbeddingShape:
        return EmbeddingShape(
            self.vocabulary_size, self.source_vocabulary_size, self.width, self.embeddings, self.output_bias
        )

    def _check_rotary(self) -> None:
        if self.decoder_layer.heads != self.heads:
            raise ValueError("rotary positions need as many heads in the decoder as in the encoder")
        if self.width // self.heads % 2:
            raise ValueError(
                f"rotary positions turn pairs: heads of an odd width ({self.width // self.heads}) have none"
            )


class Transformer(EmbeddedNetwork):
    """Source pieces in, scores of the next target piece out."""

    positions: Tensor | None  # added to the embeddings: (max_positions, D); or rotary: (max_positions, d/2, 2)
    encoder_positions: Tensor | None  # learned ones: (max_positions, D)
    decoder_positions: Tensor | None

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__(config.matrices)
        self.config = config
        self.encoder = nn.ModuleList(EncoderLayer(config.encoder_layer) for _ in range(config.encoder_layers))
        self.decoder = nn.ModuleList(DecoderLayer(config.decoder_layer) for _ in range(config.decoder_layers))
        # The last layer of a pre-norm stack leaves its output without a norm, that of a post-norm stack does not.
        self.encoder_norm, self.decoder_norm = (_norm(config.width, config.norm == "pre") for _ in range(2))
        self.encoder_embedding_norm, self.decoder_embedding_norm = (
            _norm(config.width, config.embedding_norm == "layer") for _ in range(2)
        )
        self.dropout = Dropout(config.dropout)
        self.scale = math.sqrt(config.width) if config.embedding_scale == "root-width" else 1.0
        self.register_buffer("positions", self.position_codes(config), persistent=False)
        for name in ("encoder_positions", "decoder_positions"):
            learned = nn.Parameter(torch.empty(config.max_positions, config.width))
            self.register_parameter(name, learned if config.positions == "learned" else None)
        self._initialise()

    @staticmethod
    def position_codes(config: TransformerConfig) -> Tensor | None:
        """The codes of the positions, if they are computed (see `positions`) and so never stored."""
        match config.positions:
            case "sinusoidal":
                return sinusoids(config.max_positions, config.width)
            case "sinusoidal-halves":
                return sinusoids_in_halves(config.max_positions, config.width)
            case "rotary":
                return rotations(config.max_positions, config.width // config.heads)
            case "learned":
                return None

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """Source (B, S) padded with PAD -> memory (B, S, D) and its mask (B, 1, 1, S)."""
        mask = (source != PAD)[:, None, None, :]
        span = slice(0, source.shape[1])
        x = self._add_positions(self.embedding_of_source(source), self.encoder_positions, span)
        x = self.dropout(self.encoder_embedding_norm(x))
        rotation = self._rotation(span)
        for layer in self.encoder:
            x = layer(x, mask, rotation)
        return self.encoder_norm(x), mask

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Decoder output (B, T, D) at every position of `target` (B, T), which begins with BEGIN."""
        memory, mask = self.encode(source)
        span = slice(0, target.shape[1])
        x = self.dropout(self._embed_target(target, span))
        rotation = self._rotation(span)
        for layer in self.decoder:
            x = layer(x, (memory, mask), rotation)
        output: Tensor = self.decoder_norm(x)
        return output

    def start(self, source: Tensor) -> DecoderState:
        """Encode `source` (B, S) once and return the state that `step` continues from."""
        memory, mask = self.encode(source)
        # Laid out once as every step reads them.
        cross = [layer.cross.project(memory) for layer in self._decoder_layers()]
        return DecoderState([(keys.contiguous(), values.contiguous()) for keys, values in cross], mask)

    def step(self, pieces: Tensor, state: DecoderState) -> Tensor:
        """Feed the last pieces (N,) and get the scores of the next ones (N, V); `state` moves one position on."""
        span = slice(state.position, state.position + 1)
        x = self._embed_target(pieces[:, None], span)
        rotation = self._rotation(span)
        for number, layer in enumerate(self._decoder_layers()):
            x = layer.step(x, state, number, rotation)
        state.position += 1
        return self.logits(self.decoder_norm(x)[:, 0])

    def restore_buffers(self) -> None:
        """Compute the position codes again, on the device of the weights."""
        with torch.device("cpu"):
            codes = self.position_codes(self.config)
        self.positions = None if codes is None else codes.to(self.embedding.weight.device)

    def _decoder_layers(self) -> Iterator[DecoderLayer]:
        return (layer for layer in self.decoder if isinstance(layer, DecoderLayer))

    def _embed_target(self, pieces: Tensor, span: slice) -> Tensor:
        embedded: Tensor = self.decoder_embedding_norm(
            self._add_positions(self.embedding(pieces), self.decoder_positions, span)
        )
        return embedded

    def _add_positions(self, embedded: Tensor, learned: Tensor | None, span: slice) -> Tensor:
        if span.stop > self.config.max_positions:
            raise ValueError(f"position {span.stop} of a segment: this network has {self.config.max_positions}")
        codes = learned if self.config.positions == "learned" else self.positions
        if codes is None or self.config.positions == "rotary":
            return embedded * self.scale
        return embedded * self.scale + codes[span]

    def _rotation(self, span: slice) -> Tensor | None:
        if self.positions is None or self.config.positions != "rotary":
            return None
        return self.positions[span]

    def _initialise(self) -> None:
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        for learned in (self.encoder_positions, self.decoder_positions):
            if learned is not None:
                nn.init.normal_(learned, std=self.config.width**-0.5)
        self.initialise_embeddings()


def _norm(width: int, wanted: bool) -> nn.Module:
    return nn.LayerNorm(width) if wanted else nn.Identity()
