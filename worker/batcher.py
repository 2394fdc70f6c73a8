"""Chooses which waiting segments go through the model together. Pure: the caller brings the time.

Segments that can share a batch (same language pair, model and options) wait in one pool, sorted by length. A batch
is built around the segment that has waited longest, from its neighbours in length: nothing starves, and little is
padded.
"""

import math
from bisect import insort
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ..model.batching import BatchLimits
from .scheduling.pool import Pool
from .scheduling.room import Room
from .work import Segment


@dataclass(frozen=True, slots=True)
class Batch:
    """Segments to translate together, shortest first."""

    pool: Pool
    segments: tuple[Segment, ...]

    @property
    def padded_pieces(self) -> int:
        """Source places in the padded batch, END marks counted."""
        return len(self.segments) * max(segment.length for segment in self.segments)

    @property
    def source_pieces(self) -> int:
        """Those of them that hold a real piece."""
        return sum(segment.length for segment in self.segments)


class Batcher:
    """The pools of waiting segments. Not thread-safe: its owner locks."""

    def __init__(self, limits: BatchLimits, wait_seconds: float) -> None:
        self._limits = limits
        self._wait_seconds = wait_seconds
        self._pools: dict[Pool, _Pool] = {}

    def __len__(self) -> int:
        return sum(len(pool.segments) for pool in self._pools.values())

    def add(self, key: Pool, segment: Segment) -> None:
        """Let a segment wait."""
        self._pools.setdefault(key, _Pool()).add(segment)

    def ready_in_seconds(self, now_seconds: float) -> float | None:
        """When the next batch should leave: 0 = now, None = nothing waits."""
        return min((self._due_in_seconds(pool, now_seconds) for pool in self._pools.values()), default=None)

    def take(self, now_seconds: float, room: Room | None = None) -> Batch | None:
        """The batch that should leave now, if one should: of the pool whose oldest segment has waited longest."""
        ready = [
            key
            for key, pool in self._pools.items()
            if (room is None or room.serves(key)) and self._due_in_seconds(pool, now_seconds) == 0.0
        ]
        if not ready:
            return None
        key = min(ready, key=lambda candidate: self._pools[candidate].since_seconds)
        segments = self._cut(self._pools[key], self._limits if room is None else _within(self._limits, room))
        self._forget_empty(key)
        return Batch(key, tuple(segments))

    def remove(self, unwanted: Callable[[Segment], bool]) -> list[Segment]:
        """Take out and return every waiting segment that is unwanted."""
        removed: list[Segment] = []
        for key, pool in list(self._pools.items()):
            removed += pool.remove(unwanted)
            self._forget_empty(key)
        return removed

    def _due_in_seconds(self, pool: "_Pool", now_seconds: float) -> float:
        if len(pool.segments) >= self._limits.rows or pool.pieces >= self._limits.tokens:
            return 0.0
        return max(0.0, pool.since_seconds + self._wait_seconds - now_seconds)

    def _cut(self, pool: "_Pool", limits: BatchLimits) -> list[Segment]:
        """Take the oldest segment and its neighbours in length, the nearest first, as far as the limits allow."""
        segments = pool.segments
        first = next(place for place, s in enumerate(segments) if s.waiting_since_seconds == pool.since_seconds)
        end, pieces, oldest = first + 1, segments[first].length, segments[first].length
        while first > 0 or end < len(segments):
            shorter = first > 0 and (
                end == len(segments) or oldest - segments[first - 1].length <= segments[end].length - oldest
            )
            nearest = segments[first - 1 if shorter else end].length
            longest = max(nearest, segments[end - 1].length)
            if not _fits(limits, end - first + 1, longest, pieces + nearest):
                break
            pieces += nearest
            first, end = (first - 1, end) if shorter else (first, end + 1)
        return pool.cut(first, end)

    def _forget_empty(self, key: Pool) -> None:
        if not self._pools[key].segments:
            del self._pools[key]


class _Pool:
    """Segments that can share a batch, by length. Its sums are kept: thousands wait, and each turn asks."""

    def __init__(self) -> None:
        self.segments: list[Segment] = []
        self.pieces = 0
        self.since_seconds = math.inf

    def add(self, segment: Segment) -> None:
        insort(self.segments, segment, key=_length)
        self.pieces += segment.length
        self.since_seconds = min(self.since_seconds, segment.waiting_since_seconds)

    def cut(self, first: int, end: int) -> list[Segment]:
        """Take out a run of segments."""
        taken = self.segments[first:end]
        del self.segments[first:end]
        self._left(taken)
        return taken

    def remove(self, unwanted: Callable[[Segment], bool]) -> list[Segment]:
        taken = [segment for segment in self.segments if unwanted(segment)]
        if taken:
            gone = set(map(id, taken))
            self.segments = [segment for segment in self.segments if id(segment) not in gone]
            self._left(taken)
        return taken

    def _left(self, taken: Iterable[Segment]) -> None:
        self.pieces -= sum(map(_length, taken))
        self.since_seconds = min((segment.waiting_since_seconds for segment in self.segments), default=math.inf)


def _within(limits: BatchLimits, room: Room) -> BatchLimits:
    return BatchLimits(min(limits.tokens, room.pieces), min(limits.rows, room.rows), limits.padding_ratio)


def _fits(limits: BatchLimits, rows: int, longest: int, pieces: int) -> bool:
    padded = rows * longest
    within = rows <= limits.rows and padded <= limits.tokens
    return within and padded - pieces <= limits.padding_ratio * padded


def _length(segment: Segment) -> int:
    return segment.length
