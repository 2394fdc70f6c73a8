"""Which array of a Marian model is which parameter of our Transformer. Knows names and shapes only.

Marian multiplies from the right, so its matrices are ours transposed; those of the pieces have a row for each piece, as
ours. It begins a target with zeros: BEGIN, and PAD with it, is a row of zeros that Marian does not store.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import ConfigurationError
from ..architectures.embedded import OWN_SOURCE
from ..architectures.transformer import Transformer
from ..vocabularies.vocabulary import BEGIN
from .marian_native_files import Arrays
from .marian_pieces import MarianPieces
from .marian_weights import NEVER

_ATTENTION = {"query": "q", "key_value": "kv", "output": "o"}
_FEED_FORWARD = {"feed_forward.0": "1", "feed_forward.2": "2"}
_OUTPUT = "decoder_ff_logit_out"


class ArrayReader:
    """Gives arrays of a shape that is known, and remembers which were asked for."""

    def __init__(self, arrays: Arrays) -> None:
        self._arrays = arrays
        self._unread = {*arrays}

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def matrix(self, name: str, rows: int, columns: int) -> Tensor:
        """The array of that shape; raises `ConfigurationError` naming one that is missing, misshapen or no numbers."""
        if name not in self._arrays:
            raise ConfigurationError(f"the Marian model lacks the array {name}: copy it again")
        self._unread.discard(name)
        array = np.atleast_2d(self._arrays[name])
        if array.shape != (rows, columns) or array.dtype.kind != "f":
            raise ConfigurationError(
                f"the array {name} holds {array.dtype} in the shape {[*array.shape]}, by config and vocabulary it must "
                f"hold floats in {[rows, columns]}: take all files from one model"
            )
        return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))

    def vector(self, name: str, size: int) -> Tensor:
        """The array of so many numbers."""
        return self.matrix(name, 1, size)[0]

    def check_all_read(self) -> None:
        """Raise `ConfigurationError` if there is an array that nobody asked for."""
        if self._unread:
            raise ConfigurationError(
                f"the Marian model has arrays that no network of ours has: {', '.join(sorted(self._unread))}"
            )


def fill(network: Transformer, arrays: Arrays, pieces: MarianPieces) -> None:
    """Give `network` the `arrays`; raises `ConfigurationError` naming one that is missing, left over or misshapen."""
    reader = ArrayReader(arrays)
    shapes = {name: parameter.shape for name, parameter in network.state_dict().items()}
    state = _matrices_of_pieces(network, reader, pieces)
    for ours, scope, suffixes in _linears(network):
        width, rows = shapes[f"{ours}.weight"][1], shapes[f"{ours}.bias"][0] // len(suffixes)
        stacked = [reader.matrix(f"{scope}_W{suffix}", width, rows).T for suffix in suffixes]
        state[f"{ours}.weight"] = torch.cat(stacked)
        state[f"{ours}.bias"] = torch.cat([reader.vector(f"{scope}_b{suffix}", rows) for suffix in suffixes])
    for ours, scope, suffix in _norms(network):
        for kind, name in (("weight", "scale"), ("bias", "bias")):
            state[f"{ours}.{kind}"] = reader.vector(f"{scope}_ln_{name}{suffix}", network.config.width)
    reader.check_all_read()
    network.load_state_dict(state)


def _layers(network: Transformer) -> Iterator[tuple[str, str, Sequence[tuple[str, str]]]]:
    """(Our layer, Marian's, (our attention, Marian's) in it)."""
    for number in range(len(network.encoder)):
        yield f"encoder.{number}", f"encoder_l{number + 1}", [("attention", "self")]
    for number in range(len(network.decoder)):
        yield f"decoder.{number}", f"decoder_l{number + 1}", [("attention", "self"), ("cross", "context")]


def _linears(network: Transformer) -> Iterator[tuple[str, str, str]]:
    """(Our linear layer, scope of Marian's, suffixes of those that are stacked in it)."""
    for ours, theirs, attentions in _layers(network):
        for attention, name in attentions:
            for linear, suffixes in _ATTENTION.items():
                yield f"{ours}.{attention}.{linear}", f"{theirs}_{name}", suffixes
        for linear, suffix in _FEED_FORWARD.items():
            yield f"{ours}.{linear}", f"{theirs}_ffn", suffix


def _norms(network: Transformer) -> Iterator[tuple[str, str, str]]:
    """(Our norm, scope of Marian's, what ends its name)."""
    suffix = "_pre" if network.config.norm == "pre" else ""
    for ours, theirs, attentions in _layers(network):
        for attention, name in attentions:
            yield f"{ours}.{attention}_norm", f"{theirs}_{name}_Wo", suffix
        yield f"{ours}.feed_forward_norm", f"{theirs}_ffn_ffn", suffix
    outer = {"encoder": network.encoder_norm, "decoder": network.decoder_norm}
    yield from ((f"{side}_norm", f"{side}_top", "") for side, norm in outer.items() if isinstance(norm, nn.LayerNorm))
    if network.config.embedding_norm == "layer":
        yield from ((f"{side}_embedding_norm", f"{side}_emb", "_pre") for side in outer)


def _matrices_of_pieces(network: Transformer, reader: ArrayReader, pieces: MarianPieces) -> dict[str, Tensor]:
    target, width = list(pieces.target_numbers), network.config.width
    # Each number occurs once, but for that of BEGIN, which PAD has too; it is the row that Marian does not store.
    stored = len({*target}) - 1
    bias = reader.vector(f"{_OUTPUT}_b", stored) if f"{_OUTPUT}_b" in reader else torch.zeros(stored)
    bias = F.pad(bias, (0, 1))[target]
    bias[BEGIN] = NEVER
    matrices = {"output_bias": bias}
    if network.config.embeddings in OWN_SOURCE:
        source = list(pieces.source_numbers)
        matrices["source_embedding.weight"] = _rows(reader, "encoder_Wemb", (len({*source}) - 1, width))[source]
        matrices["embedding.weight"] = _rows(reader, "decoder_Wemb", (stored, width))[target]
    else:
        matrices["embedding.weight"] = _rows(reader, "Wemb", (stored, width))[target]
    if network.output is not None:
        matrices["output.weight"] = _output(reader, (stored, width))[target]
    return matrices


def _rows(reader: ArrayReader, name: str, shape: tuple[int, int]) -> Tensor:
    return _with_zeros(reader.matrix(name, *shape))


def _output(reader: ArrayReader, shape: tuple[int, int]) -> Tensor:
    """Marian stored it transposed once, and later as it is."""
    if f"{_OUTPUT}_Wt" in reader:
        return _with_zeros(reader.matrix(f"{_OUTPUT}_Wt", *shape))
    return _with_zeros(reader.matrix(f"{_OUTPUT}_W", shape[1], shape[0]).T)


def _with_zeros(rows: Tensor) -> Tensor:
    return F.pad(rows, (0, 0, 0, 1))
