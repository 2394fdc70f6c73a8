"""What every architecture of the catalog can do. Knows tensors only: no text, no files.

Letters: B batch, N rows of a running decode, S source length, T target length, D width, V vocabulary. Source and
target are padded with PAD on the right; boolean masks are True for a real token.
"""

from abc import ABC, abstractmethod
from typing import Any, Protocol, Self

from torch import Tensor, nn


class NetworkConfig(Protocol):
    """A frozen dataclass: the shape of one architecture. Its constructor raises ValueError for an impossible one."""

    @property
    def vocabulary_size(self) -> int: ...

    @property
    def max_positions(self) -> int:
        """Longest source or target, in pieces with marks."""
        ...


class DecodingState(Protocol):
    """What `step` remembers of its N rows.

    Set `keep_attention` before the first step to find in `attention`, after each step, how the new piece of each
    row looked at its source: (N, S), rows sum to 1; None in an architecture without attention.
    """

    keep_attention: bool
    attention: Tensor | None

    def select(self, rows: Tensor) -> Self:
        """Keep `rows` (N',), in that order, in place; a row may be taken several times or not at all."""
        ...


class Network(nn.Module, ABC):
    """Source pieces in, scores of the next target piece out."""

    config: Any  # a NetworkConfig; each architecture narrows it

    @property
    def has_compiled_layers(self) -> bool:
        """Whether training runs layers of ours, with threads of their own (`threads.threads_for_layers`)."""
        return False

    @abstractmethod
    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Decoder output (B, T, D) at every position of `target` (B, T), which begins with BEGIN; for training."""

    @abstractmethod
    def logits(self, hidden: Tensor) -> Tensor:
        """Decoder output (..., D) -> scores of every piece (..., V)."""

    @abstractmethod
    def start(self, source: Tensor) -> DecodingState:
        """Encode `source` (B, S) once and return the state that `step` continues from."""

    @abstractmethod
    def step(self, pieces: Tensor, state: Any) -> Tensor:
        """Feed the last pieces (N,) and get the scores of the next ones (N, V); `state` moves one position on."""

    @abstractmethod
    def restore_buffers(self) -> None:
        """Compute again what is not stored in a checkpoint (position codes), on the device of the weights."""
