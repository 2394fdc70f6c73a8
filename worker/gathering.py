"""Queues of lists between stages, and taking several lists together. Knows lanes, and nothing of what is in them."""

import contextlib
import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from ..schemas.jobs import Lane

Item = TypeVar("Item")

# What is done with others together takes about so long at most, because a crash takes it along.
PORTION_SECONDS = 0.5
# As many are taken at first as if they were done so fast.
FIRST_GUESS_SECONDS = 0.1
# A longer list is cut, so that a portion need not be as large.
LONGEST_LIST = 128
# Fewer items together would cost mostly what a portion costs by itself.
LEAST_ITEMS = 50


class Portion:
    """How many items are handled together: as many as are done in time, by how long the last ones took. Pure."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._items_per_second = most / FIRST_GUESS_SECONDS

    @property
    def size(self) -> int:
        """So many, at most."""
        return min(self._most, max(LEAST_ITEMS, int(self._items_per_second * PORTION_SECONDS)))

    def took(self, items: int, seconds: float) -> None:
        """So many were handled in that time; too few say nothing of more."""
        if items >= LEAST_ITEMS and seconds > 0:
            self._items_per_second = items / seconds


class Lists(Generic[Item]):
    """Lists in order, from any thread to one that takes several together."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._lists: deque[list[Item]] = deque()
        self._items = 0  # in these lists
        self._wake_at = 1  # whoever waits is woken by so many
        self._asked_for: int | None = None

    @property
    def has_enough(self) -> bool:
        """Whether as many wait as were asked for the last time: more would only wait."""
        with self._changed:
            return self._asked_for is not None and self._items >= self._asked_for

    def put(self, items: list[Item]) -> None:
        """Add a list, in pieces of `LONGEST_LIST` at most."""
        with self._changed:
            self._lists.extend(items[start : start + LONGEST_LIST] for start in range(0, len(items), LONGEST_LIST))
            self._items += len(items)
            # Items that come by ones must not wake, one by one, who waits for many.
            if self._items >= self._wake_at:
                self._changed.notify()

    def gather(self, most: int, timeout_seconds: float, linger_seconds: float = 0.0) -> list[Item]:
        """What waits, list by list until there are `most` or more; blocks for the first, at most so long.

        When there is something, but less than `most`, waits for more, at most `linger_seconds`.
        """
        items: list[Item] = []
        with self._changed:
            self._asked_for = most
            if self._wait(1, timeout_seconds) and linger_seconds:
                self._wait(most, linger_seconds)
            while self._lists and len(items) < most:
                items += self._lists.popleft()
            self._items -= len(items)
        return items

    def empty(self) -> bool:
        """Whether nothing waits."""
        with self._changed:
            return not self._items

    def _wait(self, items: int, timeout_seconds: float) -> bool:
        """For so many; the caller holds the lock."""
        self._wake_at = items
        return self._changed.wait_for(lambda: self._items >= items, timeout_seconds)


class ByLane(Generic[Item]):
    """Lists for each lane, whose takers do not wait for each other: interactive items are not behind bulk ones."""

    def __init__(self, is_interactive: Callable[[Item], bool]) -> None:
        self._is_interactive = is_interactive
        self.interactive: Lists[Item] = Lists()
        self.bulk: Lists[Item] = Lists()

    def put(self, items: list[Item]) -> None:
        """Add a list, divided by lanes."""
        if urgent := [item for item in items if self._is_interactive(item)]:
            self.interactive.put(urgent)
            items = [item for item in items if not self._is_interactive(item)]
        if items:
            self.bulk.put(items)

    def of(self, lane: Lane) -> Lists[Item]:
        """Those of a lane."""
        return self.interactive if lane == "interactive" else self.bulk


def gathered(waiting: "queue.Queue[list[Item]]", most: int, timeout_seconds: float) -> list[Item]:
    """What waits now, list by list until there are `most` or more; blocks for the first list, at most so long."""
    items: list[Item] = []
    with contextlib.suppress(queue.Empty):
        items += waiting.get(timeout=timeout_seconds)
        while len(items) < most:
            items += waiting.get_nowait()
    return items
