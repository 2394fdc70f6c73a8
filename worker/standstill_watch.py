"""Notices partitions that nobody moves, whoever has them. What each worker says of its own shows none that is nobody's.

Looks every fifteen seconds at the end of each partition of the job topics and at its lease. Only measures: a partition
may stand because its worker is stuck, its topic refused, or because the group counts on a member that is not there.
"""

import time
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

import structlog
from sqlalchemy import Engine

from ..errors import DragomanError
from ..storage.engine import transaction
from ..storage.leases import OwnedLease, all_leases
from .kafka_positions import TopicFacts
from .message import Partition, by_topic
from .pipeline import Pipeline
from .stage import Stage

log = structlog.get_logger(__name__)

LOOK_SECONDS = 15.0
ANSWER_SECONDS = 5.0
# A partition waits its turn for some time where a backlog is long; it stands when nothing was recorded for so long.
STANDING_SECONDS = 120.0


class Progress(NamedTuple):
    """The first offset of a partition that is not recorded, and the one that the next message will have."""

    next_offset: int
    end_offset: int

    @property
    def unrecorded(self) -> int:
        return max(0, self.end_offset - self.next_offset)


class _Seen(NamedTuple):
    """Since when a partition has not moved though something waits, and where it was when it last moved."""

    since_seconds: float
    progress: Progress


class Standstills:
    """Which partitions have messages and do not move. Pure but for the clock."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[Partition, _Seen] = {}

    def see(self, partitions: Mapping[Partition, Progress]) -> frozenset[Partition]:
        """Those that stand; a partition that is not named is forgotten."""
        now = self._clock()
        self._seen = {key: _seen(self._seen.get(key), progress, now) for key, progress in partitions.items()}
        return frozenset(key for key, seen in self._seen.items() if now - seen.since_seconds >= STANDING_SECONDS)


def _seen(before: _Seen | None, progress: Progress, now_seconds: float) -> _Seen:
    if before is None or before.progress.next_offset != progress.next_offset:
        return _Seen(now_seconds, progress)
    return before if _something_waits(before, progress) else _Seen(now_seconds, before.progress)


def _something_waits(before: _Seen, progress: Progress) -> bool:
    """The mark that a producer's transaction leaves behind its last message has an offset too, and is no message."""
    return progress.unrecorded > 1 or (progress.unrecorded == 1 and progress.end_offset > before.progress.end_offset)


class StandstillWatch(Stage):
    """Measures all partitions of some topics, and writes down which stand; what has no answer stays as it was."""

    def __init__(self, pipeline: Pipeline, engine: Engine, facts: TopicFacts, topics: Collection[str]) -> None:
        super().__init__("standstill-watch", pipeline.stopping)
        self._pipeline = pipeline
        self._engine = engine
        self._facts = facts
        self._topics = topics
        self._standstills = Standstills()
        self._standing: frozenset[Partition] = frozenset()

    def work(self) -> None:
        """Look, and wait for the next time."""
        try:
            self.look()
        except DragomanError as error:  # no job depends on it
            log.info("standstills_not_known", error=str(error))
        self.pause(LOOK_SECONDS)

    def look(self) -> None:
        """Ask brokers and database once; raises `DragomanError` when one does not answer."""
        numbers = self._facts.ask(self._topics, ANSWER_SECONDS).partitions()
        ends = self._facts.ends([(topic, n) for topic, count in numbers.items() for n in range(count)], ANSWER_SECONDS)
        with transaction(self._engine) as connection:
            held = all_leases(connection, self._pipeline.identity.group_id)
        leases = {(lease.topic, lease.partition): lease for lease in held}
        progress = {key: _progress(leases.get(key), *marks) for key, marks in ends.found().items()}
        standing = self._standstills.see(progress)
        self._pipeline.metrics.group_lag.set(sum(one.unrecorded for one in progress.values()))
        self._pipeline.metrics.standing.set(len(standing))
        if begun := sorted(standing - self._standing):
            owners = sorted({leases[key].owner for key in begun if key in leases})
            log.warning("partitions_stand_still", which=by_topic(begun), last_owners=owners)
        if ended := sorted(self._standing - standing):
            log.info("partitions_move_again", which=by_topic(ended))
        self._standing = standing


def _progress(lease: OwnedLease | None, first_offset: int, end_offset: int) -> Progress:
    next_offset = lease.next_offset if lease is not None and lease.next_offset is not None else first_offset
    return Progress(max(next_offset, first_offset), end_offset)
