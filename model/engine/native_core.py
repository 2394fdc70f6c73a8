"""The core in C: a Transformer with packed weights on the CPU. Knows parameters of our Transformer and the C calls.

Weights are float32 or 8-bit integers, one scale an output (`weights.quantised`: a checkpoint stored as int8 gives back
its own codes). Beside 8-bit weights rows are integers too, with one scale a row: of 8 bits, 7 without VNNI (`int8`), or
of 16 bits, whose sums are exact, so that the only error is that of the weights (`int8-exact`). Nothing is padded, every
sum has an order of its own: a row's result is bit for bit the same whatever its neighbours, and whatever the number of
threads.
"""

import ctypes
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...errors import ConfigurationError
from ..architectures.attention import Attention
from ..architectures.network import Network
from ..architectures.transformer import Transformer
from ..weights import quantised
from .core import Core, NewSegment, StepRows
from .native_library import ACTIVATIONS, KINDS, Layer, Matrix, Shape, Side, native_library

FLOAT_BYTES = 4
Weights = Literal["float32", "int8", "int8-exact"]


class NativeCore(Core):
    """Keeps open segments of one Transformer; see `Core`."""

    is_invariant = True

    def __init__(self, network: Network, weights: Weights, threads: int) -> None:
        """Pack the weights; the network is not needed afterwards.

        Raises `ConfigurationError` for another architecture, and where the library cannot be had.
        """
        if not isinstance(network, Transformer):
            raise ConfigurationError(
                f"the native engine runs only the architecture transformer, this is a {type(network).__name__}: "
                "take the engine reference"
            )
        self.name = f"native {weights}"
        self._library = native_library()
        self._max_positions = network.config.max_positions
        self._layers: int = network.config.decoder_layers
        self._width: int = network.config.width
        self._pieces = network.embedding_of_source.num_embeddings
        self._outputs: int = network.config.vocabulary_size
        # Arrays that the library looks into as long as it is open.
        self._kept: list[Any] = []
        self._handle = self._open(network, threads)
        with torch.no_grad():
            _Packing(self._library, self._handle, weights, self._kept).pack(network)

    def bytes_of(self, segment: NewSegment) -> int:
        """What keeping this segment open takes, in bytes."""
        places = segment.rows * segment.positions
        keys_and_values = self._layers * (len(segment.source) + places) * 2 * self._width * FLOAT_BYTES
        return keys_and_values + (2 * places * FLOAT_BYTES if segment.rows > 1 else 0)

    def open(self, segments: Sequence[NewSegment]) -> list[int]:
        """Encode the sources and keep them; raises `MemoryError` if they do not fit."""
        for segment in segments:
            self._check(segment)
        lengths = [len(segment.source) for segment in segments]
        shortlists = [segment.shortlist for segment in segments if segment.shortlist is not None]
        numbers: list[NDArray[Any]] = [
            _int32(lengths),
            _int32([piece for segment in segments for piece in segment.source]),
            _int32([segment.rows for segment in segments]),
            _int32([segment.positions for segment in segments]),
            _int32([0 if segment.shortlist is None else len(segment.shortlist) for segment in segments]),
            _int32(np.concatenate(shortlists) if shortlists else [0]),
        ]
        found = np.zeros(len(segments), np.int64)
        addresses = [array.ctypes.data for array in [*numbers, found]]
        if self._library.dragoman_encode(self._handle, len(segments), *addresses):
            raise MemoryError(f"no memory to open {len(segments)} segments")
        opened: list[int] = found.tolist()
        return opened

    def release(self, segments: Sequence[int]) -> None:
        """Forget these segments."""
        numbers = np.asarray(segments, np.int64)
        self._library.dragoman_release(self._handle, len(numbers), numbers.ctypes.data)

    def step(self, rows: StepRows, width: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """See `Core.step`."""
        count = len(rows.segments)
        pieces, scores = np.empty((count, width), np.int32), np.empty((count, width), np.float32)
        columns = (rows.segments, rows.places, rows.parents, rows.pieces, rows.positions, rows.forced, rows.endless)
        addresses = [column.ctypes.data for column in columns]
        found = (pieces.ctypes.data, scores.ctypes.data)
        if self._library.dragoman_step(self._handle, count, *addresses, width, *found):
            raise MemoryError(f"no memory for a step of {count} rows")
        return pieces, scores

    def close(self) -> None:
        """Give back all memory; a second call does nothing."""
        if self._handle:
            self._library.dragoman_close(self._handle)
            self._handle = None
            self._kept.clear()

    def _open(self, network: Transformer, threads: int) -> Any:
        config = network.config
        encoder, decoder = config.encoder_layer, config.decoder_layer
        shape = Shape(
            config.width, config.max_positions, config.vocabulary_size, config.norm == "pre",
            ACTIVATIONS[config.activation], threads,
            config.encoder_layers, encoder.heads, encoder.feed_forward,
            config.decoder_layers, decoder.heads, decoder.feed_forward,
            network.scale,
        )  # fmt: skip
        rotations = self._keep(network.positions) if config.positions == "rotary" else None
        handle = self._library.dragoman_open(ctypes.byref(shape), rotations)
        if not handle:
            raise MemoryError("no memory for the native engine")
        return handle

    def _keep(self, tensor: Tensor | None) -> int | None:
        return keep(tensor, self._kept)

    def _check(self, segment: NewSegment) -> None:
        """The library trusts its caller."""
        longest = max(len(segment.source), segment.positions)
        if not segment.source or longest > self._max_positions or segment.positions < 1 or segment.rows < 1:
            raise ConfigurationError(
                f"a segment of {len(segment.source)} source and up to {segment.positions} target positions: this "
                f"network takes 1 to {self._max_positions}"
            )
        if min(segment.source) < 0 or max(segment.source) >= self._pieces:
            raise ConfigurationError(f"a source piece that the network does not have: it has {self._pieces}")
        shortlist = segment.shortlist
        if shortlist is not None and (not len(shortlist) or shortlist.min() < 0 or shortlist.max() >= self._outputs):
            raise ConfigurationError(f"a shortlist that is empty or names a piece of more than {self._outputs}")


def keep(tensor: Tensor | None, kept: list[Any]) -> int | None:
    """The address of a tensor's floats, which stay as long as `kept`; None of None."""
    if tensor is None:
        return None
    array = np.ascontiguousarray(tensor.detach().cpu().float().numpy())
    kept.append(array)
    return int(array.ctypes.data)


class _Packing:
    """Hands the parameters of a network over to the library."""

    def __init__(self, library: ctypes.CDLL, handle: Any, weights: Weights, kept: list[Any]) -> None:
        self._library, self._handle, self._weights = library, handle, weights
        self._kept = kept
        # What only has to last until the library has packed it.
        self._brief: list[Any] = []

    def pack(self, network: Transformer) -> None:
        self._side(network, "encoder")
        self._side(network, "decoder")
        bias = network.output_bias
        output = self._matrix(network.output_weight, bias)
        self._require(self._library.dragoman_set_output(self._handle, ctypes.byref(output)))
        self._brief.clear()

    def _side(self, network: Transformer, name: Literal["encoder", "decoder"]) -> None:
        is_decoder = name == "decoder"
        learned: Tensor | None = getattr(network, f"{name}_positions")
        codes = learned if network.config.positions == "learned" else network.positions
        side = Side(positions=None if network.config.positions == "rotary" else self._vector(codes))
        self._table(side, network.embedding if is_decoder else network.embedding_of_source)
        for place, norm in (
            ("embedding", getattr(network, f"{name}_embedding_norm")),
            ("last", getattr(network, f"{name}_norm")),
        ):
            self._set_norm(side, place, norm)
        self._library.dragoman_set_side(self._handle, is_decoder, ctypes.byref(side))
        layers: list[Any] = [*getattr(network, name)]
        for number, layer in enumerate(layers):
            packed = self._layer(layer, is_decoder)
            failed = self._library.dragoman_set_layer(self._handle, is_decoder, number, ctypes.byref(packed))
            self._require(failed)
            self._brief.clear()

    def _layer(self, layer: Any, is_decoder: bool) -> Layer:
        packed = Layer(
            self_in=self._joined(layer.attention),
            self_out=self._linear(layer.attention.output),
            inner=self._linear(layer.feed_forward[0]),
            outer=self._linear(layer.feed_forward[2]),
        )
        self._set_norm(packed, "self", layer.attention_norm)
        self._set_norm(packed, "outer", layer.feed_forward_norm)
        if is_decoder:
            packed.cross_query = self._linear(layer.cross.query)
            packed.cross_memory = self._linear(layer.cross.key_value)
            packed.cross_out = self._linear(layer.cross.output)
            self._set_norm(packed, "cross", layer.cross_norm)
        return packed

    def _joined(self, attention: Attention) -> Matrix:
        """Queries, keys and values in one matrix (3D, D)."""
        parts = (attention.query, attention.key_value)
        weight, bias = (torch.cat([getattr(part, name) for part in parts]) for name in ("weight", "bias"))
        return self._matrix(weight, bias)

    def _linear(self, linear: nn.Linear) -> Matrix:
        return self._matrix(linear.weight, linear.bias)

    def _matrix(self, weight: Tensor, bias: Tensor | None) -> Matrix:
        rows, columns = weight.shape
        matrix = Matrix(KINDS[self._weights], bias=keep(bias, self._brief), outputs=rows, inputs=columns)
        if self._weights == "float32":
            matrix.floats = keep(weight, self._brief)
        else:
            matrix.codes, matrix.scales = self._quantised(weight, self._brief)
        return matrix

    def _table(self, side: Side, embedding: nn.Embedding) -> None:
        if self._weights == "float32":
            side.floats = self._vector(embedding.weight)
        else:
            side.codes, side.scales = self._quantised(embedding.weight, self._kept)

    @staticmethod
    def _quantised(weight: Tensor, kept: list[Any]) -> tuple[int, int]:
        matrix = quantised(weight.detach().cpu())
        arrays = [np.ascontiguousarray(part.numpy()) for part in (matrix.codes, matrix.scales)]
        kept += arrays
        return arrays[0].ctypes.data, arrays[1].ctypes.data

    def _vector(self, tensor: Tensor | None) -> int | None:
        return keep(tensor, self._kept)

    def _set_norm(self, to: Any, place: str, norm: nn.Module) -> None:
        if isinstance(norm, nn.LayerNorm):
            setattr(to, f"{place}_gamma", self._vector(norm.weight))
            setattr(to, f"{place}_beta", self._vector(norm.bias))

    @staticmethod
    def _require(failed: int) -> None:
        if failed:
            raise MemoryError("no memory for the packed weights")


def _int32(numbers: Any) -> NDArray[np.int32]:
    return np.ascontiguousarray(numbers, np.int32)
