"""Sums in an order that does not depend on the neighbours: what makes a translation batch-invariant.

A segment's pieces and scores are bit for bit the same alone or in any batch, in float32 on a CPU, with a given number
of threads. Rows never mix in our networks; what could differ is the order in which one row's sums are taken, because
libraries choose a kernel by the shape of the whole. What was seen with torch 2.15 and MKL (AVX2), and what is done:

- A matrix product of 1 to 3 rows, in one thread's share, is summed in another order than one of 4 or more; beyond that
  neither the number of rows nor the place among them matters. So a batch and a step have a multiple of `ROW_MULTIPLE`
  rows: dummy rows fill them up.
- Attention adds up along the source in vectors. Padding adds exact zeros at its end (the mask is -inf, its exponential
  0), which changes nothing once a source is longer than a vector: `source_length` says to which length one is padded.
- A product of one row, which is what attention of one query is, is summed in an order that even depends on where in
  memory its operands lie, and so on the thread that computes it. `attend`, `dots`, `dot` and `mix` multiply number
  by number and add up along one dimension instead, which has a fixed order and costs about as much.
- Layer norm and (log-)softmax over the vocabulary work row by row. Element by element there is nothing to add up; but
  the last few numbers of a thread's share are computed one by one, and tanh or sigmoid of one number may differ from
  that of a vector of them. With 3 threads and a network of width 34 that was seen, with 1 and 2 threads never; where
  vectors hold 16 (AVX-512) with 4 rows of 36 numbers. They are taken 32 at a time there, so 16 rows of any even width
  leave none over.

tests/unit/model/test_batch_invariance.py holds this for every architecture, and says what was seen in lower precision.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def _has_wide_vectors() -> bool:
    return torch.backends.cpu.get_cpu_capability().startswith("AVX512")


# The fewest rows of a matrix product that are summed like any larger number of them; with AVX-512 as many as leave no
# number of a sigmoid to be computed by itself.
ROW_MULTIPLE = 16 if _has_wide_vectors() else 4
# Where vectors hold 8 floats (AVX2), sources of 16, 24, 32, ... pieces are summed alike; of 8 or 20 they are not.
SHORTEST_SOURCE, SOURCE_MULTIPLE = 16, 8
# Where they hold 16 (AVX-512), whole vectors; nobody has measured whether less would do.
WIDE_VECTOR = 16


def source_length(pieces: int) -> int:
    """The length to which a batch whose longest source has `pieces`, with END, is padded."""
    if _has_wide_vectors():
        return pieces + -pieces % WIDE_VECTOR
    return max(SHORTEST_SOURCE, pieces + -pieces % SOURCE_MULTIPLE)


def dots(queries: Tensor, keys: Tensor) -> Tensor:
    """Dot products of queries (..., T, d) with keys (..., S, d): (..., T, S).

    The same as `queries @ keys.transpose(-1, -2)` up to rounding. For T > 1, for gradients and off the CPU it is that.
    """
    if queries.shape[-2] != 1 or not _fixes_order(queries):
        return queries @ keys.transpose(-1, -2)
    return (queries * keys).sum(-1).unsqueeze(-2)


def dot(rows: Tensor, vector: Tensor) -> Tensor:
    """Dot products of rows (..., H) with `vector` (H,): (...). The same as `rows @ vector` up to rounding."""
    return (rows * vector).sum(-1) if _fixes_order(rows) else rows @ vector


def mix(weights: Tensor, values: Tensor) -> Tensor:
    """Sums of values (..., S, d) with weights (..., T, S): (..., T, d).

    The same as `weights @ values` up to rounding. For T > 1, for gradients and off the CPU it is that.
    """
    if weights.shape[-2] != 1 or not _fixes_order(weights):
        return weights @ values
    return (weights.transpose(-1, -2) * values).sum(-2, keepdim=True)


def attend(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, *, causal: bool = False) -> Tensor:
    """Scaled dot-product attention of queries (N, H, T, d) over (N, H, S, d); `mask` broadcasts to (N, H, T, S).

    The same as `scaled_dot_product_attention` up to rounding, and just that where neither order nor time asks for more.
    """
    if not (_fixes_order(queries) and queries.shape[-2] == 1) and not _learns_in_bf16(queries):
        return F.scaled_dot_product_attention(queries, keys, values, mask, is_causal=causal)
    scores = dots(queries * queries.shape[-1] ** -0.5, keys)  # (N, H, T, S)
    if causal:
        later = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        scores = scores.masked_fill(later, float("-inf"))
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return mix(scores.softmax(-1), values)


def _learns_in_bf16(rows: Tensor) -> bool:
    """On a CPU the fused kernel takes 15 times as long for gradients in bfloat16 as the products written out."""
    return rows.device.type == "cpu" and rows.dtype == torch.bfloat16 and torch.is_grad_enabled()


def _fixes_order(rows: Tensor) -> bool:
    """Training has no segments whose results must not differ, and other devices other kernels."""
    return rows.device.type == "cpu" and not torch.is_grad_enabled()
