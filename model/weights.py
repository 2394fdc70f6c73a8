"""The weights of a checkpoint on disk: safetensors of 32-bit floats, 16-bit floats or 8-bit integers.

Knows tensors by name, and the file; knows no network.

int8 stores each weight matrix, embeddings too, row by row (a row makes one output): the codes -127..127 and one scale,
the largest magnitude of the row / 127. A weight is then wrong by at most half a scale, 0.4 % of the largest of its row;
over a row of normally distributed weights that is about 0.7 % of their standard deviation. Vectors (norms, biases)
and matrices of few columns stay 16-bit floats. Symmetric quantisation by row: Wu et al. 2020, arXiv:2004.09602.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from .checkpoint_config import STORAGES
from .checkpoint_config import Storage as Storage
from .manifest import CheckpointError

# With fewer columns a scale for each row costs more than it saves.
FEWEST_COLUMNS = 16
LARGEST_CODE = 127
# No module or parameter of PyTorch has a colon in its name.
_SCALES = ":scales"


@dataclass(frozen=True, slots=True)
class Int8Matrix:
    """A matrix by rows: `codes` (rows, columns) as int8, `scales` (rows,) as 32-bit floats; weight = code * scale."""

    codes: Tensor
    scales: Tensor

    def dequantised(self) -> Tensor:
        """The matrix (rows, columns) as 32-bit floats."""
        return self.codes * self.scales[:, None]


def quantised(matrix: Tensor) -> Int8Matrix:
    """The nearest 8-bit matrix of a matrix (rows, columns) of finite floats.

    A quantised matrix that was dequantised gives the same codes and scales again.
    """
    matrix = matrix.float()
    # Scales have 8 bits of mantissa, so that code * scale is exact: saving a loaded checkpoint changes nothing.
    scales = (matrix.abs().amax(1) / LARGEST_CODE).bfloat16().float()
    divisors = torch.where(scales == 0, 1.0, scales)
    codes = (matrix / divisors[:, None]).round_().clamp_(-LARGEST_CODE, LARGEST_CODE)
    return Int8Matrix(codes.to(torch.int8), scales)


def write_weights(path: Path, weights: Mapping[str, Tensor], storage: str) -> None:
    """Write `weights` as `storage` says; tensors of integers are kept as they are.

    Raises `CheckpointError` for an unknown storage and for weights that are not finite in it.
    """
    if storage not in STORAGES:
        raise CheckpointError(f"there is no storage {storage!r} of weights: take one of {', '.join(STORAGES)}")
    stored: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        stored |= _stored(name, tensor.detach().cpu(), storage)
    _check_finite(stored, f"as {storage}: the training diverged, or float32 can hold them")
    # Not `save_file`, whose files only their owner may read.
    path.write_bytes(safetensors.torch.save(stored))


def read_weights(path: Path, device: torch.device) -> dict[str, Tensor | Int8Matrix]:
    """The weights as stored, which 8-bit arithmetic starts from; raises `CheckpointError` for a damaged file."""
    try:
        stored = safetensors.torch.load_file(path, device=str(device))
    except safetensors.SafetensorError as error:
        raise CheckpointError(f"{path} is not a file of weights: {error}") from error
    return {name: _read(path, name, stored) for name in filter(is_weight, stored)}


def is_weight(name: str) -> bool:
    """Whether a tensor of the file is a weight of the network, not the scales of one."""
    return not name.endswith(_SCALES)


def read_float_weights(path: Path, device: torch.device) -> dict[str, Tensor]:
    """The weights as 32-bit floats; raises `CheckpointError` for a damaged file and for weights that are not finite."""
    weights = read_weights(path, device)
    # Where a code has a finite scale, the weight is finite.
    floats = {name: weight.scales if isinstance(weight, Int8Matrix) else weight for name, weight in weights.items()}
    _check_finite(floats, f"in {path}: train it again")
    return {name: _as_float(weight) for name, weight in weights.items()}


def _stored(name: str, tensor: Tensor, storage: str) -> dict[str, Tensor]:
    if not tensor.is_floating_point():
        return {name: tensor.contiguous()}
    if storage == "int8" and tensor.dim() == 2 and tensor.shape[1] >= FEWEST_COLUMNS:
        matrix = quantised(tensor)
        return {name: matrix.codes, name + _SCALES: matrix.scales}
    # A copy: safetensors refuses two names of the same memory.
    kind = torch.float32 if storage == "float32" else torch.float16
    return {name: tensor.to(kind, copy=True).contiguous()}


def _read(path: Path, name: str, stored: Mapping[str, Tensor]) -> Tensor | Int8Matrix:
    tensor = stored[name]
    if tensor.dtype != torch.int8:
        return tensor
    scales = stored.get(name + _SCALES)
    if scales is None or scales.dtype != torch.float32 or tensor.dim() != 2 or scales.shape != tensor.shape[:1]:
        raise CheckpointError(f"{path} has no scale for each row of {name}: copy the whole checkpoint again")
    return Int8Matrix(tensor, scales)


def _as_float(weight: Tensor | Int8Matrix) -> Tensor:
    if isinstance(weight, Int8Matrix):
        return weight.dequantised()
    # A copy even of floats, which else stay in the file: it must not matter what happens to that from here on.
    return weight.to(torch.float32, copy=True) if weight.is_floating_point() else weight.clone()


def _check_finite(weights: Mapping[str, Tensor], where: str) -> None:
    broken = [name.removesuffix(_SCALES) for name, tensor in weights.items() if not _is_finite(tensor)]
    if broken:
        raise CheckpointError(f"the weights {', '.join(broken)} are not finite {where}")


def _is_finite(tensor: Tensor) -> bool:
    # A NaN is both the least and the greatest; `isfinite().all()` takes several times as long.
    return tensor.numel() == 0 or all(math.isfinite(extreme.item()) for extreme in tensor.aminmax())
