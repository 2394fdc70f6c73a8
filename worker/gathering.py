"""Queues of lists between stages, and taking several lists together. Knows nothing of what is in them."""

import contextlib
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")

# Urgent items that came within this say that more will come.
LATELY_SECONDS = 1.0
# What is done with others together takes about so long at most, because a crash takes it along.
CALM_SECONDS = 0.5
# While urgent items come, it takes about so long, because they wait for its end.
HURRIED_SECONDS = 0.1
# A longer list is cut, so that a portion need not be as large.
LONGEST_LIST = 128
# Fewer items together would cost mostly what a portion costs by itself.
LEAST_ITEMS = 50


class Portion:
    """How many items are handled together: as many as are done in time, by how long the last ones took. Pure."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._items_per_second = most / HURRIED_SECONDS

    def size(self, *, hurried: bool) -> int:
        """`hurried` = somebody waits for their end."""
        in_time = int(self._items_per_second * (HURRIED_SECONDS if hurried else CALM_SECONDS))
        return min(self._most, max(LEAST_ITEMS, in_time))

    def took(self, items: int, seconds: float) -> None:
        """So many were handled in that time; too few say nothing of more."""
        if items >= LEAST_ITEMS and seconds > 0:
            self._items_per_second = items / seconds


class UrgentFirst(Generic[Item]):
    """Lists of urgent items and of others, each kind in order. The kinds take turns, so that neither waits for long."""

    def __init__(self, is_urgent: Callable[[Item], bool]) -> None:
        self._is_urgent = is_urgent
        self._changed = threading.Condition()
        self._urgent: deque[list[Item]] = deque()
        self._other: deque[list[Item]] = deque()
        self._others = 0  # items in these lists
        self._wake_at = 1  # whoever waits is woken by something urgent, or by so many others
        self._urgent_had_its_turn = False
        self._urgent_came_at_seconds = -LATELY_SECONDS
        self._asked_for: int | None = None

    @property
    def has_enough(self) -> bool:
        """Whether as many that are not urgent wait as were asked for the last time: more would only wait."""
        with self._changed:
            return self._asked_for is not None and self._others >= self._asked_for

    @property
    def urgent_lately(self) -> bool:
        """Whether an urgent item came within the last second."""
        return time.monotonic() - self._urgent_came_at_seconds < LATELY_SECONDS

    def put(self, items: list[Item]) -> None:
        """Add a list, its urgent items as a list of their own, the others in lists of `LONGEST_LIST` at most."""
        urgent = [item for item in items if self._is_urgent(item)]
        other = items if not urgent else [item for item in items if not self._is_urgent(item)]
        with self._changed:
            if urgent:
                self._urgent.append(urgent)
                self._urgent_came_at_seconds = time.monotonic()
            self._other.extend(other[start : start + LONGEST_LIST] for start in range(0, len(other), LONGEST_LIST))
            self._others += len(other)
            # Items that come by ones must not wake, one by one, who waits for many.
            if urgent or self._others >= self._wake_at:
                self._changed.notify()

    def gather(self, most: int, timeout_seconds: float, linger_seconds: float = 0.0) -> list[Item]:
        """What waits of one kind, list by list until there are `most` or more; blocks for a list, at most so long.

        Urgent items come alone, so that what is done with them together is soon done. The others wait for more of
        their kind, at most `linger_seconds`, as long as nothing urgent comes.
        """
        items: list[Item] = []
        with self._changed:
            self._asked_for = most
            if self._wait(1, timeout_seconds) and linger_seconds:
                self._wait(most, linger_seconds)
            takes_urgent = bool(self._urgent) and not (self._urgent_had_its_turn and self._other)
            lists = self._urgent if takes_urgent else self._other
            while lists and len(items) < most:
                items += lists.popleft()
            if not takes_urgent:
                self._others -= len(items)
            self._urgent_had_its_turn = takes_urgent
        return items

    def _wait(self, others: int, timeout_seconds: float) -> bool:
        """For something urgent or so many others; the caller holds the lock."""
        self._wake_at = others
        return bool(self._changed.wait_for(lambda: self._urgent or self._others >= others, timeout_seconds))

    def get_nowait(self) -> list[Item]:
        """The next list; raises `queue.Empty`."""
        items = self.gather(1, 0.0)
        if not items:
            raise queue.Empty
        return items

    def empty(self) -> bool:
        """Whether there is no list."""
        return not self.qsize()

    def qsize(self) -> int:
        """How many lists there are."""
        with self._changed:
            return len(self._urgent) + len(self._other)


def gathered(waiting: "queue.Queue[list[Item]]", most: int, timeout_seconds: float) -> list[Item]:
    """What waits now, list by list until there are `most` or more; blocks for the first list, at most so long."""
    items: list[Item] = []
    with contextlib.suppress(queue.Empty):
        items += waiting.get(timeout=timeout_seconds)
        while len(items) < most:
            items += waiting.get_nowait()
    return items
