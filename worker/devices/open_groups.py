"""The groups that are in the hands of a device. Thread-safe; knows no device."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from uuid import UUID, uuid4

from ..scheduling.pool import Pool
from .entry import Entry
from .events import Group, Unanswered

# What a group's segments are worth in the queue of a model that several groups wait for.
INTERACTIVE, BULK = 0, 1


@dataclass(slots=True)
class OpenGroup:
    """A group that was handed over: entries by place that have no answer yet, and what is known of the others."""

    number: int
    pool: Pool
    entries: dict[int, Entry]
    rows: int
    source_pieces: int
    longest: int
    is_alone: bool
    batch_id: UUID = field(default_factory=uuid4)
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    start_seconds: float = field(default_factory=time.perf_counter)
    target_pieces: int = 0
    failed: list[tuple[Entry, Unanswered]] = field(default_factory=list)

    @property
    def is_single(self) -> bool:
        """Whether it is one segment that had the device for itself: what happened is its doing."""
        return self.is_alone and self.rows == 1


class OpenGroups:
    """Numbers groups, and remembers what each place of them is."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._groups: dict[int, OpenGroup] = {}
        self._numbers = count(1)
        self._rows = 0

    def __len__(self) -> int:
        with self._lock:
            return len(self._groups)

    @property
    def rows(self) -> int:
        """Rows that the open segments take: as many each as their beam is wide."""
        with self._lock:
            return self._rows

    def open(self, pool: Pool, entries: Sequence[Entry]) -> Group:
        """The group to hand over."""
        lengths = [entry.segment.length for entry in entries]
        with self._lock:
            for group in self._groups.values():
                group.is_alone = False
            number = next(self._numbers)
            self._groups[number] = OpenGroup(
                number=number,
                pool=pool,
                entries=dict(enumerate(entries)),
                rows=len(entries),
                source_pieces=sum(lengths),
                longest=max(lengths),
                is_alone=not self._groups,
            )
            self._rows += len(entries) * pool.beam_size
        return Group(
            number,
            pool.model_version,
            pool.beam_size,
            pool.length_penalty,
            tuple(entry.segment.pieces for entry in entries),
            min(INTERACTIVE if entry.segment.job.lane == "interactive" else BULK for entry in entries),
        )

    def take(self, number: int, places: Sequence[int]) -> tuple[OpenGroup, list[Entry]] | None:
        """The entries at these places, which have their answer now; None for a group of a device that has died."""
        with self._lock:
            group = self._groups.get(number)
            if group is None:
                return None
            taken = [group.entries.pop(place) for place in places]
            self._rows -= len(taken) * group.pool.beam_size
            if not group.entries:
                del self._groups[number]
            return group, taken

    def abandon(self) -> list[OpenGroup]:
        """Every open group, the oldest first; none is open afterwards."""
        with self._lock:
            groups = list(self._groups.values())
            self._groups.clear()
            self._rows = 0
            return groups
