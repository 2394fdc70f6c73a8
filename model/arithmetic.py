"""Sums in an order that does not depend on the neighbours: what makes a translation batch-invariant.

A segment's pieces and scores are bit for bit the same alone or in any batch, in float32 on a CPU, with a given number
of threads. Rows never mix in our networks; what could differ is the order in which one row's sums are taken, because
libraries choose a kernel by the shape of the whole. What was seen with torch 2.15 and MKL (AVX2), and what is done:

- A matrix product of 1 to 3 rows, in one thread's share, is summed in another order than one of 4 or more; beyond that
  neither the number of rows nor the place among them matters. So a step has a multiple of `ROW_MULTIPLE` rows, and so
  has the encoder's batch: dummy rows fill them up.
- Attention adds up along the source in vectors. Padding adds exact zeros at its end (the mask is -inf, its exponential
  0), which changes nothing once a source is longer than a vector: `source_length` says to which length one is padded.
- Attention of one query is a product of one row, whose order of sums even depends on where in memory its operands
  lie, and so on the thread that computes it: `row_product` asks `QUERY_ROWS` times and takes one answer.
- Layer norm and (log-)softmax over the vocabulary work row by row; element by element there is nothing to add up.

tests/unit/model/test_batch_invariance.py holds this for every architecture, and says what was seen in lower precision.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

# Rows of a step: with up to as many threads as half of this, a thread's share has 4 rows or a multiple.
ROW_MULTIPLE = 8
# A product of 4 rows is the smallest that is summed like all larger ones.
QUERY_ROWS = 4
# Where vectors hold 8 floats (AVX2), sources of 16, 24, 32, ... pieces are summed alike; of 8 or 20 they are not.
SHORTEST_SOURCE, SOURCE_MULTIPLE = 16, 8
# Where they hold 16 (AVX-512), whole vectors; nobody has measured whether less would do.
WIDE_VECTOR = 16


def source_length(pieces: int) -> int:
    """The length to which a batch whose longest source has `pieces`, with END, is padded."""
    if torch.backends.cpu.get_cpu_capability().startswith("AVX512"):
        return pieces + -pieces % WIDE_VECTOR
    return max(SHORTEST_SOURCE, pieces + -pieces % SOURCE_MULTIPLE)


def row_product(row: Tensor, matrix: Tensor) -> Tensor:
    """Products of single rows (..., 1, K) with matrices (..., K, M), which may be transposed views: (..., 1, M).

    The same as `row @ matrix` up to rounding, and batch-invariant on a CPU.
    """
    if row.device.type != "cpu":
        return row @ matrix
    rows = row.expand(*row.shape[:-2], QUERY_ROWS, row.shape[-1])
    return torch.matmul(rows, matrix)[..., :1, :]


def attend(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
    """Scaled dot-product attention of one query a row (N, H, 1, d) over (N, H, S, d); `mask` (N, 1, 1, S) or None.

    The same as `scaled_dot_product_attention` up to rounding, and batch-invariant on a CPU.
    """
    if query.device.type != "cpu":
        return F.scaled_dot_product_attention(query, keys, values, mask)
    scores = row_product(query * query.shape[-1] ** -0.5, keys.transpose(-1, -2))  # (N, H, 1, S)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return row_product(scores.softmax(-1), values)
