"""Waiting entries by length."""

from bisect import bisect_left, bisect_right, insort
from heapq import heapify, heappop, heappush

from .entry import Entry, Place


class Shelf:
    """Entries in one bucket a length, in a bucket by turn. Lengths are few: pieces that a model reads."""

    def __init__(self) -> None:
        self._buckets: dict[int, list[Place]] = {}
        self._waiting: dict[int, int] = {}
        self._lengths: list[int] = []

    def add(self, place: Place) -> None:
        """Let an entry wait."""
        length = place[2].length
        bucket = self._buckets.get(length)
        if bucket is None:
            self._buckets[length] = [place]
            self._waiting[length] = 1
            insort(self._lengths, length)
        else:
            heappush(bucket, place)
            self._waiting[length] += 1

    def leave(self, length: int) -> None:
        """An entry of this length waits no more; the last one takes its bucket along."""
        left = self._waiting[length] = self._waiting[length] - 1
        if not left:
            del self._buckets[length], self._waiting[length]
            del self._lengths[bisect_left(self._lengths, length)]

    def sweep(self) -> None:
        """Forget all entries that wait no more."""
        for length, bucket in self._buckets.items():
            waiting = self._buckets[length] = [place for place in bucket if place[2].waiting]
            heapify(waiting)

    def first(self, length: int, count: int) -> list[Entry]:
        """Take the `count` entries of this length whose turn comes first out of their bucket; so many must wait.

        The caller says `leave` for each of them.
        """
        bucket = self._buckets[length]
        taken: list[Entry] = []
        while len(taken) < count:
            entry = heappop(bucket)[2]
            if entry.waiting:
                taken.append(entry)
        return taken

    def __bool__(self) -> bool:
        """Whether anything waits."""
        return bool(self._lengths)

    def count(self, length: int) -> int:
        """How many of this length wait."""
        return self._waiting.get(length, 0)

    def at_most(self, length: int) -> int | None:
        """The greatest length that waits and is not above this one."""
        place = bisect_right(self._lengths, length)
        return self._lengths[place - 1] if place else None

    def above(self, length: int) -> int | None:
        """The least length that waits and is above this one."""
        place = bisect_right(self._lengths, length)
        return self._lengths[place] if place < len(self._lengths) else None
