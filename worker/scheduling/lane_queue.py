"""The waiting entries of one lane in one pool."""

from collections import deque
from heapq import heappop, heappush, heapreplace

from .deadlines import IDLE_ENTRIES, Deadlines
from .entry import Entry, Place
from .shelf import Shelf


class LaneQueue:
    """Entries by turn, by arrival and by length; adding and leaving cost the same however many wait.

    Entries that left stay where they stood until they are more than those that wait; when none waits, all is forgotten.
    By length they stand on two shelves. `near`: their client was behind when they came, so they go with whatever
    padding is allowed, before the others. `far`: all others; they go where they pad least.
    """

    def __init__(self) -> None:
        self.rows = self.pieces = 0
        self.near, self.far = Shelf(), Shelf()
        self._forget()

    def _forget(self) -> None:
        self._urgent = Deadlines(lambda entry: entry.waiting)
        self._by_client: dict[str, deque[Entry]] = {}  # a client's entries come in the order of their turns
        self._next: list[Place] = []  # the first entry of each client
        self._by_arrival: deque[Entry] = deque()
        self._left = 0  # entries that left since the last look at all of them

    def add(self, entry: Entry) -> None:
        """Let an entry wait, whose turn is set."""
        entry.waiting = True
        place = (entry.turn, entry.number, entry)
        self._line_up(place)
        self._by_arrival.append(entry)
        (self.near if entry.near else self.far).add(place)
        self.rows += 1
        self.pieces += entry.length
        if entry.may_hurry:
            self._urgent.add(entry)

    def leave(self, entry: Entry) -> None:
        """An entry waits no more."""
        entry.waiting = False
        (self.near if entry.near else self.far).leave(entry.length)
        self.rows -= 1
        self.pieces -= entry.length
        if entry.may_hurry:
            self._urgent.left()
        self._left += 1
        if not self.rows:
            self._forget()
        elif self._left > max(self.rows, IDLE_ENTRIES):
            self._sweep()

    def first(self) -> Entry | None:
        """The entry whose turn comes first."""
        while self._next:
            entry = self._next[0][2]
            if entry.waiting:
                return entry
            following = self._following(entry)
            if following is None:
                heappop(self._next)
            else:
                heapreplace(self._next, (following.turn, following.number, following))
        return None

    def oldest(self) -> Entry | None:
        """The entry that came first."""
        while self._by_arrival and not self._by_arrival[0].waiting:
            self._by_arrival.popleft()
        return self._by_arrival[0] if self._by_arrival else None

    def urgent(self) -> Entry | None:
        """The entry that expires first, of those that may hurry."""
        return self._urgent.next()

    def _sweep(self) -> None:
        """Forget all entries that left, but for the heads of lines: whose turn is next is found by them."""
        self._by_arrival = deque(entry for entry in self._by_arrival if entry.waiting)
        for client, line in self._by_client.items():
            head = line.popleft()
            self._by_client[client] = deque((head, *(entry for entry in line if entry.waiting)))
        self.near.sweep()
        self.far.sweep()
        self._left = 0

    def _line_up(self, place: Place) -> None:
        entry = place[2]
        client = entry.segment.job.client_id
        line = self._by_client.get(client)
        if line is None:
            self._by_client[client] = deque((entry,))
            heappush(self._next, place)
        elif entry.turn >= line[-1].turn:
            line.append(entry)
        else:
            # It followed another entry for a while, and keeps the turn that it came with: it stands beside the line.
            heappush(self._next, place)

    def _following(self, entry: Entry) -> Entry | None:
        """The next waiting entry of the line that this one headed, if it did."""
        client = entry.segment.job.client_id
        line = self._by_client.get(client)
        if line is None or line[0] is not entry:
            return None
        while line and not line[0].waiting:
            line.popleft()
        if line:
            return line[0]
        del self._by_client[client]
        return None
