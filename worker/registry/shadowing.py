"""Segments on their way to a shadow: a queue that never holds the live path up. Knows no model."""

import threading
from collections import deque
from collections.abc import Collection, Iterable
from itertools import islice

from ...storage.models import Pair
from ..work import Segment

# A shadow that is further behind sees some of the traffic, not all of it.
MOST_WAITING = 1_000


class ShadowQueue:
    """Keeps translated segments of some pairs until a shadow takes them; drops what is too much. Thread-safe."""

    def __init__(self) -> None:
        self._dropped = 0
        self._changed = threading.Condition()
        self._waiting: deque[Segment] = deque()
        self._pairs: frozenset[Pair] = frozenset()

    def watch(self, pairs: Collection[Pair]) -> None:
        """Take segments of these pairs from now on, and no others."""
        with self._changed:
            self._pairs = frozenset(pairs)
            self._waiting = deque(one for one in self._waiting if _pair(one) in self._pairs)

    def offer(self, segments: Iterable[Segment]) -> None:
        """These were translated by the model; returns at once."""
        if not self._pairs:
            return
        with self._changed:
            for segment in segments:
                if _pair(segment) not in self._pairs:
                    continue
                if len(self._waiting) < MOST_WAITING:
                    self._waiting.append(segment)
                else:
                    self._dropped += 1
            self._changed.notify_all()

    def dropped(self) -> int:
        """How many were dropped since this was last asked."""
        with self._changed:
            dropped, self._dropped = self._dropped, 0
        return dropped

    def take(self, most: int, timeout_seconds: float) -> list[Segment]:
        """Segments of one pair, the oldest first; blocks for one, at most so long."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting, timeout_seconds)
            if not self._waiting:
                return []
            pair = _pair(self._waiting[0])
            taken = list(islice((one for one in self._waiting if _pair(one) == pair), most))
            chosen = set(map(id, taken))
            self._waiting = deque(one for one in self._waiting if id(one) not in chosen)
            return taken


def _pair(segment: Segment) -> Pair:
    return segment.job.source_language, segment.job.target_language
