"""The waiting entries of one lane in one pool."""

import math
from collections import deque
from collections.abc import Iterator
from heapq import heappop, heappush

from .deadlines import Deadlines
from .entry import Entry, Place
from .shelf import Shelf


class LaneQueue:
    """Entries by turn, by arrival and by length; adding and leaving cost the same however many wait.

    By length they stand on two shelves. `near`: their client had little waiting, so they go with whatever padding
    is allowed, ahead of the others. `far`: there is more of their client, so they go where they pad least.
    """

    def __init__(self) -> None:
        self.rows = self.pieces = 0
        self.near, self.far = Shelf(), Shelf()
        self._urgent = Deadlines(lambda entry: entry.waiting)
        self._by_turn: list[Place] = []
        self._by_arrival: deque[Entry] = deque()

    def __iter__(self) -> Iterator[Entry]:
        """Every entry that waits, in order of arrival."""
        return (entry for entry in self._by_arrival if entry.waiting)

    def add(self, entry: Entry) -> None:
        """Let an entry wait, whose turn is set."""
        entry.waiting = True
        place = entry.place
        heappush(self._by_turn, place)
        self._by_arrival.append(entry)
        (self.near if entry.near else self.far).add(place)
        self.rows += 1
        self.pieces += entry.length
        if entry.near and entry.deadline_seconds < math.inf:
            self._urgent.add(entry)

    def leave(self, entry: Entry) -> None:
        """An entry waits no more."""
        entry.waiting = False
        (self.near if entry.near else self.far).leave(entry.length)
        self.rows -= 1
        self.pieces -= entry.length
        if entry.near and entry.deadline_seconds < math.inf:
            self._urgent.left()

    def first(self) -> Entry | None:
        """The entry whose turn comes first."""
        while self._by_turn and not self._by_turn[0][2].waiting:
            heappop(self._by_turn)
        return self._by_turn[0][2] if self._by_turn else None

    def oldest(self) -> Entry | None:
        """The entry that came first."""
        while self._by_arrival and not self._by_arrival[0].waiting:
            self._by_arrival.popleft()
        return self._by_arrival[0] if self._by_arrival else None

    def urgent(self) -> Entry | None:
        """The entry that expires first, of those whose client had little waiting."""
        return self._urgent.next()
