"""Which lane goes next."""

import sys
from collections.abc import Collection, Mapping

from ...schemas.jobs import Lane
from .policy import Policy


class Lanes:
    """Deficit round robin in padded pieces over the two lanes: interactive first, unless bulk is owed a batch.

    Of every padded piece that is taken while bulk waits, bulk is owed its share, less what it gets. When it is owed a
    full batch it goes first, and half of what it is owed at least is in each such batch, so the debt is paid. What
    bulk gets beyond its share is remembered up to one batch: room that interactive leaves free costs bulk nothing
    later. So over any time in which bulk waits it gets its share of the padded pieces, short of three full batches;
    and interactive waits for bulk's share and one batch, whatever waits in bulk.

    Aging: bulk that waits also goes first when it has not been first for `aging_seconds`, however it stands.
    """

    def __init__(self, policy: Policy) -> None:
        self._share = policy.bulk_share
        self._batch_pieces = policy.limits.tokens
        self._aging_seconds = policy.aging_seconds
        self._owed = 0.0
        self._bulk_since_seconds: float | None = None

    def next(self, waiting: Collection[Lane], now_seconds: float) -> Lane:
        """The lane that the next batch is built around, of those that wait."""
        if "bulk" not in waiting:
            self._bulk_since_seconds = None
            self._owed = min(self._owed, 0.0)
            return "interactive"
        if self._bulk_since_seconds is None:
            self._bulk_since_seconds = now_seconds
        aged = now_seconds - self._bulk_since_seconds >= self._aging_seconds
        return "bulk" if "interactive" not in waiting or self._owed >= self._batch_pieces or aged else "interactive"

    def rows_beside(self, anchor: Lane, rows: int) -> int:
        """How many rows a batch may have when the anchor's lane has so many of them.

        A batch that pays what bulk is owed must not owe it as much again.
        """
        if anchor == "interactive" or not self._share:
            return sys.maxsize
        return max(rows, int(rows / (2.0 * self._share)))

    def charge(self, anchor: Lane, padded: Mapping[Lane, int], now_seconds: float) -> None:
        """A batch of so many padded pieces of each lane leaves."""
        if anchor == "bulk":
            self._bulk_since_seconds = now_seconds
        if self._bulk_since_seconds is not None:
            bulk = padded.get("bulk", 0)
            self._owed = max(-self._batch_pieces, self._owed + self._share * sum(padded.values()) - bulk)
