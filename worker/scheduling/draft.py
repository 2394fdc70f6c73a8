"""A batch while it is being filled: the arithmetic of padding. Knows no entries' owners."""

from collections.abc import Callable
from dataclasses import dataclass

from ...model.batching import BatchLimits
from .entry import Entry
from .shelf import Shelf


@dataclass(frozen=True, slots=True)
class Bounds:
    """Rows of the batch in all, and padding that one more row may bring, as a share of the longest row."""

    rows: int
    padding: float = 1.0


class Draft:
    """Entries under a budget of padded pieces and a share of padding, neither of which is ever exceeded.

    The first entry is taken as it comes: a segment longer than the budget would never go otherwise.
    """

    def __init__(self, limits: BatchLimits, anchor: Entry) -> None:
        self.entries = [anchor]
        self.longest = self._pieces = anchor.length
        self._limits = limits

    def fill(self, shelf: Shelf, leave: Callable[[Entry], None], bounds: Bounds) -> None:
        """Take in what pads least, again and again; `leave` is told of each entry.

        A shorter row pads itself up to the longest; a longer one makes every row longer.
        """
        shorter, longer = shelf.at_most(self.longest), shelf.above(self.longest)
        while (length := self._nearer(shorter, longer)) and self._padding(length) <= bounds.padding * self.longest:
            waiting = shelf.count(length)
            count = self.fitting(length, min(waiting, bounds.rows - len(self.entries)))
            if count:
                self._take(shelf.first(length, count), leave)
            # Whatever is further off in this direction pads more: where one did not fit, the others do not.
            further = count == waiting
            if length == shorter:
                shorter = shelf.at_most(length - 1) if further else None
            else:
                longer = shelf.above(length) if further else None

    def _take(self, entries: list[Entry], leave: Callable[[Entry], None]) -> None:
        for entry in entries:
            leave(entry)
        self.entries += entries
        self._pieces += len(entries) * entries[0].length
        self.longest = max(self.longest, entries[0].length)

    def _nearer(self, shorter: int | None, longer: int | None) -> int | None:
        """Of two lengths the one that brings less padding."""
        if shorter is None or longer is None:
            return shorter if longer is None else longer
        return shorter if self._padding(shorter) <= self._padding(longer) else longer

    def fitting(self, length: int, count: int) -> int:
        """How many entries of this length fit in, of so many."""
        longest = max(self.longest, length)
        rows = len(self.entries)
        count = min(count, self._limits.rows - rows, self._limits.tokens // longest - rows)
        # Pieces that a row must have on average. Longer rows lift the average, so either all fit or none do.
        needed = longest * (1.0 - self._limits.padding_ratio)
        if length < needed:
            count = min(count, int((self._pieces - needed * rows) / (needed - length)) + 1)
        while count > 0 and not self._within(rows + count, longest, self._pieces + count * length):
            count = count - 1 if length < needed else 0
        return max(0, count)

    def _within(self, rows: int, longest: int, pieces: int) -> bool:
        padded = rows * longest
        return padded - pieces <= self._limits.padding_ratio * padded

    def _padding(self, length: int) -> int:
        """Places of padding that one more row of this length brings."""
        return self.longest - length if length <= self.longest else (length - self.longest) * len(self.entries)
