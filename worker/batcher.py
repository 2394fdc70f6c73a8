"""Chooses which waiting segments go through the model together. Pure: the caller brings the time.

Segments that can share a batch (same language pair, model and options) wait in one pool, sorted by length. A batch
is built around the segment that has waited longest, from its neighbours in length: nothing starves, and little is
padded.
"""

from bisect import insort
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ..model.batching import BatchLimits
from .work import Segment

# (source language, target language, beam size, length penalty)
PoolKey = tuple[str, str, int, float]


@dataclass(frozen=True, slots=True)
class Batch:
    """Segments to translate together, shortest first."""

    key: PoolKey
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
    """The pool of waiting segments. Not thread-safe: its owner locks."""

    def __init__(self, limits: BatchLimits, wait_seconds: float) -> None:
        self._limits = limits
        self._wait_seconds = wait_seconds
        self._pools: dict[PoolKey, list[Segment]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._pools.values()))

    def add(self, key: PoolKey, segment: Segment) -> None:
        """Let a segment wait."""
        insort(self._pools.setdefault(key, []), segment, key=lambda waiting: waiting.length)

    def ready_in_seconds(self, now_seconds: float) -> float | None:
        """When the next batch should leave: 0 = now, None = nothing waits."""
        if not self._pools:
            return None
        if any(self._fills_a_batch(pool) for pool in self._pools.values()):
            return 0.0
        return max(0.0, min(map(_since, self._pools.values())) + self._wait_seconds - now_seconds)

    def take(self, now_seconds: float) -> Batch | None:
        """The batch that should leave now, if one should: of the pool whose oldest segment has waited longest."""
        if self.ready_in_seconds(now_seconds) != 0.0:
            return None
        ready = {
            key: pool
            for key, pool in self._pools.items()
            if self._fills_a_batch(pool) or _since(pool) + self._wait_seconds <= now_seconds
        }
        key = min(ready, key=lambda candidate: _since(ready[candidate]))
        return Batch(key, tuple(self._cut(key)))

    def remove(self, unwanted: Callable[[Segment], bool]) -> list[Segment]:
        """Take out and return every waiting segment that is unwanted."""
        removed: list[Segment] = []
        for key, pool in list(self._pools.items()):
            removed += [segment for segment in pool if unwanted(segment)]
            self._keep(key, [segment for segment in pool if not unwanted(segment)])
        return removed

    def _fills_a_batch(self, pool: list[Segment]) -> bool:
        return len(pool) >= self._limits.rows or sum(s.length for s in pool) >= self._limits.tokens

    def _cut(self, key: PoolKey) -> list[Segment]:
        """Take the oldest segment and as many neighbours, shorter ones first, as the limits allow."""
        pool = self._pools[key]
        first = min(range(len(pool)), key=lambda place: pool[place].waiting_since_seconds)
        end = first + 1
        while first > 0 and self._fits(end - first + 1, pool[end - 1].length):
            first -= 1
        while end < len(pool) and self._fits(end - first + 1, pool[end].length):
            end += 1
        batch = pool[first:end]
        self._keep(key, pool[:first] + pool[end:])
        return batch

    def _fits(self, rows: int, longest: int) -> bool:
        return rows <= self._limits.rows and rows * longest <= self._limits.tokens

    def _keep(self, key: PoolKey, segments: Iterable[Segment]) -> None:
        rest = list(segments)
        if rest:
            self._pools[key] = rest
        else:
            del self._pools[key]


def _since(pool: list[Segment]) -> float:
    return min(segment.waiting_since_seconds for segment in pool)
