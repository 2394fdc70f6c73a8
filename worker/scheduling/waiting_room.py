"""The scheduler with a lock and a clock: the admitter puts segments in, the engine waits for batches."""

import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence

from ...model.translation import Translation
from ...schemas.jobs import Lane
from ..message import Partition
from ..metrics import Metrics
from ..work import Segment
from .batch import Batch
from .pool import Pool
from .room import AMPLE_ROOM, Room
from .scheduler import Scheduler
from .translation_cache import TranslationCache

LANES: tuple[Lane, ...] = ("interactive", "bulk")


class WaitingRoom:
    """Where admitted segments wait for the model, and where known translations are looked up. Thread-safe."""

    def __init__(
        self,
        scheduler: Scheduler,
        cache: TranslationCache | None = None,
        metrics: Metrics | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._scheduler = scheduler
        self._cache = TranslationCache(0) if cache is None else cache
        self._metrics = metrics or Metrics()
        self._clock = clock
        self._changed = threading.Condition()

    def __len__(self) -> int:
        with self._changed:
            return len(self._scheduler)

    def waiting(self, lane: Lane) -> int:
        """Segments of a lane that wait for a batch."""
        with self._changed:
            return self._scheduler.waiting(lane)

    def holds(self, model_version: str) -> bool:
        """Whether a segment of this version waits for a batch."""
        with self._changed:
            return self._scheduler.holds(model_version)

    def add(self, segments: Iterable[tuple[Pool, Segment]]) -> None:
        """Let segments wait."""
        coalesced = 0
        with self._changed:
            for pool, segment in segments:
                coalesced += not self._scheduler.add(pool, segment)
            self._measure()
            self._changed.notify_all()
        self._metrics.coalesced.inc(coalesced)

    def take(self, timeout_seconds: float, room: Room = AMPLE_ROOM) -> Batch | None:
        """The next batch that the room has place for; blocks until one is due, at most `timeout_seconds`.

        Every segment of a batch is answered with `followers`, or given up with `abandon`.
        """
        now = self._clock()
        deadline = now + timeout_seconds
        with self._changed:
            while (batch := self._scheduler.take(now, room)) is None:
                left = deadline - now
                if left <= 0:
                    return None
                # 0 = a segment is due that has no place in this room: its device must call again with more.
                due = self._scheduler.ready_in_seconds(now, room) or left
                self._changed.wait(min(left, max(due, 0.001)))
                now = self._clock()
            self._measure()
        self._measure_waits(batch, now)
        return batch

    def followers(self, segment: Segment) -> tuple[Segment, ...]:
        """The outcome of a taken segment is known: the segments that share it. Call it once for each."""
        with self._changed:
            return self._scheduler.followers(segment, self._clock())

    def answered(self, pool: Pool, answers: Sequence[tuple[Segment, Translation]]) -> list[tuple[Segment, ...]]:
        """The translations of taken segments: keep them for the next jobs with the same pieces.

        Returns the segments that share each. Nothing is kept of a segment that is to leave no trace.
        """
        with self._changed:
            now = self._clock()
            for segment, translation in answers:
                if not segment.job.no_trace:
                    self._cache.keep(pool, segment.pieces, translation)
            return [self._scheduler.followers(segment, now) for segment, _ in answers]

    def abandon(self, segments: Iterable[Segment]) -> None:
        """These taken segments will have no outcome: what followed them waits for a batch of its own."""
        with self._changed:
            for segment in segments:
                self._scheduler.abandon(segment)
            self._changed.notify_all()

    def expired(self) -> tuple[Segment, ...]:
        """Segments whose deadline passed while they waited; each is told once."""
        with self._changed:
            return self._scheduler.expired(self._clock())

    def remove(self, partitions: Collection[Partition]) -> list[Segment]:
        """Take out what waits of these partitions."""
        with self._changed:
            removed = self._scheduler.remove(lambda segment: segment.delivery.message.partition in partitions)
            self._measure()
            self._changed.notify_all()
            return removed

    def forget_translations(self) -> None:
        """Keep none of the translations that were remembered: texts were erased, and one of them may be here."""
        with self._changed:
            self._cache.clear()

    def recall(self, keys: Sequence[tuple[Pool, tuple[int, ...]]]) -> list[Translation | None]:
        """Translations that are kept for these pools and pieces."""
        with self._changed:
            return [self._cache.find(pool, pieces) for pool, pieces in keys]

    def _measure_waits(self, batch: Batch, now_seconds: float) -> None:
        waits: dict[Lane, list[float]] = {}
        for segment in batch.segments:
            waited_seconds = max(0.0, now_seconds - segment.waiting_since_seconds)
            waits.setdefault(segment.job.lane, []).append(waited_seconds)
        for lane, seconds in waits.items():
            self._metrics.wait_seconds.labels(lane).observe_all(seconds)

    def _measure(self) -> None:
        for lane in LANES:
            self._metrics.waiting_in_lane.labels(lane).set(self._scheduler.waiting(lane))
