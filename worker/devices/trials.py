"""Groups that are to be run again with nothing beside them, because something in them failed. Pure.

Where an error was raised, halves are tried: a pass costs little. Where the device died, quarters: a start costs
seconds, and of four parts three go through. Either way at most 2 log2(n) passes find one poison among n segments.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ..scheduling.pool import Pool
from .entry import Entry

HALVES, QUARTERS = 2, 4


@dataclass(frozen=True, slots=True)
class Trial:
    """Entries to run together; `device_died` of something that was among them."""

    pool: Pool
    entries: tuple[Entry, ...]
    device_died: bool


class Trials:
    """A queue of trials, the parts of the latest failure first. Thread-safe: each call is one step of a deque."""

    def __init__(self) -> None:
        self._queue: deque[Trial] = deque()

    def __len__(self) -> int:
        return len(self._queue)

    def add_halves(self, pool: Pool, entries: Sequence[Entry]) -> None:
        """An error was raised somewhere among these."""
        self._add(pool, entries, HALVES, device_died=False)

    def add_quarters(self, pool: Pool, entries: Sequence[Entry]) -> None:
        """The device died of something among these."""
        self._add(pool, entries, QUARTERS, device_died=True)

    def add_single(self, pool: Pool, entry: Entry) -> None:
        """A suspect that runs alone, next."""
        self._queue.appendleft(Trial(pool, (entry,), device_died=True))

    def next(self) -> Trial:
        """The next to run; raises `IndexError` if there is none."""
        return self._queue.popleft()

    def _add(self, pool: Pool, entries: Sequence[Entry], parts: int, *, device_died: bool) -> None:
        trials = [Trial(pool, tuple(part), device_died) for part in _cut(entries, parts)]
        self._queue.extendleft(reversed(trials))


def _cut(entries: Sequence[Entry], parts: int) -> list[Sequence[Entry]]:
    """So many parts of about equal size, none of them empty."""
    bounds = [place * len(entries) // parts for place in range(parts + 1)]
    return [entries[first:end] for first, end in pairwise(bounds) if end > first]
