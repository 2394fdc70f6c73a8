"""Entries by deadline."""

from collections.abc import Callable
from heapq import heapify, heappop, heappush

from .entry import Entry

# Entries that left are kept until they are more than those that wait, and more than this.
IDLE_ENTRIES = 1_000


class Deadlines:
    """Finds the entry that expires next, of those that still count."""

    def __init__(self, counts: Callable[[Entry], bool]) -> None:
        self._counts = counts
        self._heap: list[tuple[float, int, Entry]] = []
        self._left = 0

    def add(self, entry: Entry) -> None:
        """Note an entry that has a deadline."""
        heappush(self._heap, (entry.deadline_seconds, entry.number, entry))

    def left(self) -> None:
        """An entry that was added needs its deadline no more."""
        self._left += 1
        if self._left > IDLE_ENTRIES and 2 * self._left > len(self._heap):
            self._heap = [item for item in self._heap if self._counts(item[2])]
            heapify(self._heap)
            self._left = 0

    def next(self) -> Entry | None:
        """The entry that expires first."""
        while self._heap and not self._counts(self._heap[0][2]):
            heappop(self._heap)
            self._left = max(0, self._left - 1)
        return self._heap[0][2] if self._heap else None
