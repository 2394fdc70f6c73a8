"""A Transformer made ready for decoding: matrices that are read together become one. Knows no buffers and no search.

Letters: B segments, S source positions, L layers, D width, H heads, d = D/H, V vocabulary.
"""

from collections.abc import Sequence
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ....errors import ConfigurationError
from ...architectures.network import Network
from ...architectures.transformer import Transformer, TransformerConfig
from ...architectures.transformer_layers import DecoderLayer

# Vocabularies are padded to a multiple of it: tensor cores want aligned rows, and the best pieces are found by blocks.
BLOCK = 128


class Product:
    """A linear layer whose rows are those of several, one after the other; those become views of it."""

    def __init__(self, parts: Sequence[nn.Linear]) -> None:
        self.weight = torch.cat([part.weight.detach() for part in parts])
        self.bias = torch.cat([part.bias.detach() for part in parts])
        first = 0
        for part in parts:
            rows = slice(first, first + part.out_features)
            part.weight = nn.Parameter(self.weight[rows], requires_grad=False)
            part.bias = nn.Parameter(self.bias[rows], requires_grad=False)
            first = rows.stop

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


class FusedTransformer:
    """The network on its device, in its precision, with the products of decoding fused.

    Nothing is kept twice: the network's own parameters become views of the fused ones, so it still works by itself.
    """

    def __init__(self, network: Transformer) -> None:
        self.network = network
        self.config: TransformerConfig = network.config
        self.layers = [layer for layer in network.decoder if isinstance(layer, DecoderLayer)]
        self.self_products = [Product([layer.attention.query, layer.attention.key_value]) for layer in self.layers]
        self.cross_product = Product([layer.cross.key_value for layer in self.layers])
        self.output_weight = _padded_output(network)  # (V', D), V' a multiple of BLOCK

    @classmethod
    def take_over(cls, network: Network, device: torch.device, dtype: torch.dtype) -> Self:
        """Move and convert the network, in place, and fuse it; raises `ConfigurationError` for another architecture."""
        if not isinstance(network, Transformer):
            raise ConfigurationError(
                f"the torch engine decodes Transformers, this is a {type(network).__name__}: take the reference engine"
            )
        network.to(device, dtype).eval().requires_grad_(requires_grad=False)
        if network.config.positions == "rotary":
            network.restore_buffers()  # angles keep their precision
        return cls(network)

    @property
    def device(self) -> torch.device:
        return self.output_weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.output_weight.dtype

    @property
    def heads(self) -> int:
        """Heads of the decoder."""
        return self.config.decoder_layer.heads

    def source_key_values(self, source: Tensor) -> Tensor:
        """Encode sources (B, S): what every decoder layer sees of them, (L, B, S, 2, H, d)."""
        memory, _ = self.network.encode(source)
        rows, length, width = memory.shape
        together = self.cross_product(memory)  # (B, S, L * 2D)
        split = together.view(rows, length, len(self.layers), 2, self.heads, width // self.heads)
        return split.permute(2, 0, 1, 3, 4, 5)


def _padded_output(network: Transformer) -> Tensor:
    """The output matrix with rows of zeros at its end; the network's becomes a view of it."""
    own = network.output_weight.detach()
    vocabulary_size = len(own)
    padded = own.new_zeros(vocabulary_size + -vocabulary_size % BLOCK, own.shape[1])
    padded[:vocabulary_size] = own
    owner = network.embedding if network.output is None else network.output
    owner.weight = nn.Parameter(padded[:vocabulary_size], requires_grad=False)
    return padded
