"""One step of all running rows, whatever the architecture. Knows the step callable and its state, no strategy.

A step function takes the last pieces (N,) and a state, and returns finite scores (N, V) of the next pieces; the
state's `select` keeps, reorders or repeats rows. Letters: B segments, N running rows, S source length, V vocabulary.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...errors import ConfigurationError
from ..vocabularies.vocabulary import BEGIN, END
from .options import SearchOptions, check_prefix


class StepState(Protocol):
    """What a step function remembers of its rows.

    Only alignment and coverage need more: `keep_attention`, which is set before the first step, and `attention`,
    found after each: (N, S), rows sum to 1, exactly 0 at padding.
    """

    def select(self, rows: Tensor) -> object:
        """Keep `rows`, in that order; a row may be taken several times or not at all."""
        ...


State = TypeVar("State", bound=StepState)
Step = Callable[[Tensor, State], Tensor]


@dataclass(frozen=True, slots=True)
class Rows:
    """The segments of one search, and the longest translation (in pieces, without END) of each.

    `prefixes` are pieces that each translation must begin with, in the place of the options' one. `seeds` tell
    segments apart when they are sampled. With `multiple`, steps always have a multiple of so many rows: the state
    then begins with as many rows as that takes, those of the segments first (see `arithmetic`). `allowed` are the
    pieces that each translation may be made of, each once, with END and those of the prefix; empty: any may come.
    """

    limits: tuple[int, ...]
    device: torch.device
    prefixes: tuple[tuple[int, ...], ...] = ()
    seeds: tuple[int, ...] = ()
    multiple: int = 1
    allowed: tuple[NDArray[np.int32], ...] = ()

    def prefixes_under(self, options: SearchOptions) -> tuple[tuple[int, ...], ...]:
        """The prefix of each segment; raises `ConfigurationError` for one that cannot be."""
        prefixes = self.prefixes or (options.prefix,) * len(self.limits)
        for prefix, limit in zip(prefixes, self.limits, strict=True):
            check_prefix(prefix, limit)
        return prefixes

    def allowed_pieces(self, options: SearchOptions) -> tuple[Tensor | None, ...]:
        """What each translation may be made of, on the device of the search; None: any piece.

        Raises `ConfigurationError` where END or the prefix is not among it.
        """
        if not self.allowed:
            return (None,) * len(self.limits)
        for pieces, prefix in zip(self.allowed, self.prefixes_under(options), strict=True):
            missing = {END, *prefix} - {*pieces.tolist()}
            if missing:
                raise ConfigurationError(f"the allowed pieces lack {min(missing)}, which END or the prefix needs")
        return tuple(torch.from_numpy(pieces).long().to(self.device) for pieces in self.allowed)


class Stepper(Generic[State]):
    """Steps the running rows, filled up to the multiple that `rows` asks for, and gives back the real ones."""

    def __init__(self, step: Step[State], state: State, rows: Rows) -> None:
        self._step, self._state = step, state
        self._multiple = rows.multiple
        self._last = torch.full((_filled(len(rows.limits), rows.multiple),), BEGIN, device=rows.device)
        self._real = len(rows.limits)
        self._keeps_attention = False

    def keep_attention(self) -> None:
        """From now on find in `attention` how each new piece looks at its source; call before the first step."""
        self._keeps_attention = True
        self._state.keep_attention = True  # type: ignore[attr-defined]

    def next_scores(self) -> Tensor:
        """Scores (N, V) of the next piece of each row; float32."""
        return self._step(self._last, self._state)[: self._real].float()

    @property
    def attention(self) -> Tensor | None:
        """How the piece that `next_scores` scored looks at its source (N, S), if that is kept.

        Raises `ConfigurationError` for an architecture without attention.
        """
        if not self._keeps_attention:
            return None
        attention: Tensor | None = getattr(self._state, "attention", None)
        if attention is None:
            raise ConfigurationError(
                "this architecture has no attention: it gives no alignment and takes no coverage penalty"
            )
        return attention[: self._real].float()

    def take(self, rows: Tensor | None, pieces: Tensor) -> None:
        """Go on with `rows` (N',) of the state (None: all, in order), which took `pieces` (N',)."""
        self._real = len(pieces)
        fill = _filled(self._real, self._multiple) - self._real
        if rows is not None:
            self._state.select(torch.cat([rows, rows[:1].expand(fill)]) if fill else rows)
        self._last = torch.cat([pieces, pieces[:1].expand(fill)]) if fill else pieces


def _filled(rows: int, multiple: int) -> int:
    return -(-rows // multiple) * multiple
