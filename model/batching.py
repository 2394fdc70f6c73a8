"""Groups segments of like length into batches under a budget of padded tokens. Pure arithmetic, no tensors."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """`tokens` counts padding: rows times the longest row; `rows` bounds batches of very short segments.

    `padding_ratio` is the share of padding up to which a worker's batch takes in segments of another length.
    """

    tokens: int
    rows: int
    padding_ratio: float = 1.0


def pack(lengths: Sequence[int], limits: BatchLimits) -> Iterator[range]:
    """Cut the indices of `lengths` into runs that stay within the limits; a run has at least one row."""
    first = longest = 0
    for index, length in enumerate(lengths):
        rows = index - first + 1
        longest = max(longest, length)
        if rows > 1 and (rows * longest > limits.tokens or rows > limits.rows):
            yield range(first, index)
            first, longest = index, length
    if first < len(lengths):
        yield range(first, len(lengths))


def padding_ratio(batches: Iterable[Sequence[int]]) -> float:
    """Share of padding in batches given by the lengths of their rows: 0 is none."""
    real = padded = 0
    for lengths in batches:
        real += sum(lengths)
        padded += len(lengths) * max(lengths, default=0)
    return 1 - real / padded if padded else 0.0
