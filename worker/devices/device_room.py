"""How much a device can take now, and of which models. Pure: the caller brings the time."""

from collections.abc import Mapping
from dataclasses import dataclass

from ..scheduling.pool import Pool
from ..scheduling.room import Room
from .events import ModelFacts
from .row_limit import RowLimit

# About two groups are in the hands of a device: one that runs, one that waits.
GROUPS = 2
# More is asked for when so much of that is free again: groups of one segment would cost more than they bring.
FREE_SHARE = 0.25
# A device that cannot hold all models stays with those it has for so long while they have work: loading costs seconds.
MODEL_TURN_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class RoomPolicy:
    """A batch's most segments and padded pieces, how many rows a segment usually takes, how many models are served."""

    segments: int
    pieces: int
    usual_beam: int
    models: int = 1


class DeviceRoom:
    """What one device is offered. Not thread-safe, but reading it while it changes does no harm."""

    def __init__(self, policy: RoomPolicy, *, answers_at_once: bool) -> None:
        self._policy = policy
        self._groups = 1 if answers_at_once else GROUPS
        self._limit = RowLimit()
        self._most_rows = self._groups * policy.segments * policy.usual_beam
        self._loaded: frozenset[str] = frozenset()
        self._loaded_at_seconds = 0.0
        self._any_model = False

    def loaded(self, facts: Mapping[str, ModelFacts], now_seconds: float) -> None:
        """These models are on the device."""
        rows = max(model.rows for model in facts.values()) or self._policy.segments * self._policy.usual_beam
        self._most_rows = self._groups * rows
        self._loaded, self._loaded_at_seconds = frozenset(facts), now_seconds

    def now(self, open_rows: int, now_seconds: float) -> Room | None:
        """The room beside `open_rows`; None = too little to ask for more."""
        most = self._limit.of(self._most_rows)
        free = most - open_rows
        if open_rows and free < max(1.0, most * FREE_SHARE):
            return None
        policy = self._policy
        rows = min(policy.segments, max(1, free // policy.usual_beam))
        restricted = len(self._loaded) < policy.models and not self._may_change(now_seconds)
        pieces = self._limit.of(policy.pieces)
        return Room(rows, pieces, self._is_loaded if restricted else None, is_all=not open_rows)

    def nothing_waited(self) -> None:
        """The last offer was not taken."""
        self._any_model = True

    def halve(self) -> None:
        """The device ran out of memory."""
        self._limit.halve()

    def went_well(self) -> None:
        """A group was translated."""
        self._limit.grow()

    def _may_change(self, now_seconds: float) -> bool:
        waited, self._any_model = self._any_model, False
        return waited or not self._loaded or now_seconds - self._loaded_at_seconds >= MODEL_TURN_SECONDS

    def _is_loaded(self, pool: Pool) -> bool:
        return pool.model_version in self._loaded
