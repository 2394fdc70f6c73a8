"""The batcher with a lock and a clock: the admitter puts segments in, the engine waits for batches."""

import threading
import time
from collections.abc import Callable, Collection, Iterable

from ..model.translation import Translation
from .batcher import Batch, Batcher
from .message import Partition
from .scheduling.pool import Pool
from .scheduling.room import Room
from .work import Segment


class WaitingRoom:
    """Where admitted segments wait for the model. Thread-safe."""

    def __init__(self, batcher: Batcher, clock: Callable[[], float] = time.monotonic) -> None:
        self._batcher = batcher
        self._clock = clock
        self._changed = threading.Condition()

    def __len__(self) -> int:
        with self._changed:
            return len(self._batcher)

    def add(self, segments: Iterable[tuple[Pool, Segment]]) -> None:
        """Let segments wait."""
        with self._changed:
            for key, segment in segments:
                self._batcher.add(key, segment)
            self._changed.notify()

    def take(self, timeout_seconds: float, room: Room | None = None) -> Batch | None:
        """The next batch that the room admits; blocks until one is due, at most `timeout_seconds`."""
        deadline = self._clock() + timeout_seconds
        with self._changed:
            while (batch := self._batcher.take(self._clock(), room)) is None:
                left = deadline - self._clock()
                if left <= 0:
                    return None
                due = self._batcher.ready_in_seconds(self._clock())
                self._changed.wait(left if due is None else min(left, max(due, 0.001)))
            return batch

    def abandon(self, segments: Iterable[Segment]) -> None:
        """These leave without a translation; whoever waited for theirs waits for one of their own."""

    def remember(self, pool: Pool, segment: Segment, translation: Translation) -> None:
        """This is what became of the segment, should one like it come again."""

    def followers(self, segment: Segment) -> tuple[Segment, ...]:  # noqa: ARG002
        """Segments that wait for the translation of this one instead of their own."""
        return ()

    def remove(self, partitions: Collection[Partition]) -> list[Segment]:
        """Take out what waits of these partitions."""
        with self._changed:
            return self._batcher.remove(lambda segment: segment.delivery.message.partition in partitions)
