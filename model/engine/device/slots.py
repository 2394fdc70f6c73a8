"""Which places of a lane's buffers are taken. Knows no tensors."""

import heapq
from collections.abc import Iterable


class Slots:
    """The numbers from 0 up to `count`; the lowest free one is taken first, so that what runs stands together."""

    def __init__(self, count: int) -> None:
        self._free = list(range(count))

    @property
    def free(self) -> int:
        """How many can still be taken."""
        return len(self._free)

    def take(self) -> int:
        """The lowest free one; raises `IndexError` if there is none."""
        return heapq.heappop(self._free)

    def give(self, slot: int) -> None:
        """Make it free again."""
        heapq.heappush(self._free, slot)

    def moves(self, taken: Iterable[int], below: int) -> list[tuple[int, int]]:
        """Pairs of (taken slot, free slot) that bring all of `taken` below `below`; none where that cannot be.

        The free ones are taken and the others given back.
        """
        outside = [slot for slot in taken if slot >= below]
        if sum(slot < below for slot in self._free) < len(outside):
            return []
        pairs = [(slot, self.take()) for slot in outside]
        for slot in outside:
            self.give(slot)
        return pairs
