"""The waiting entries of one pool, and the running ones that others follow."""

import math

from ...model.batching import BatchLimits
from ...schemas.jobs import Lane
from .entry import Entry
from .lane_queue import LaneQueue
from .policy import Policy
from .pool import Pool


class PoolQueue:
    """A queue for each lane, and who leads the segments of equal pieces."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.lanes: dict[Lane, LaneQueue] = {"interactive": LaneQueue(), "bulk": LaneQueue()}
        # The entry of these pieces that waits or runs; every other one follows it.
        self.leaders: dict[tuple[int, ...], Entry] = {}

    def due_in_seconds(self, policy: Policy, limits: BatchLimits, now_seconds: float) -> float | None:
        """0 = a batch should leave now: it would be full, or one of its segments has waited enough; None = empty."""
        interactive, bulk = self.lanes["interactive"], self.lanes["bulk"]
        rows = interactive.rows + bulk.rows
        if not rows:
            return None
        if rows >= limits.rows or interactive.pieces + bulk.pieces >= limits.tokens:
            return 0.0
        due = min(_due_seconds(queue, lane, policy) for lane, queue in self.lanes.items())
        return max(0.0, due - now_seconds)


def _due_seconds(queue: LaneQueue, lane: Lane, policy: Policy) -> float:
    oldest, urgent = queue.oldest(), queue.urgent()
    waited = oldest.segment.waiting_since_seconds + policy.wait_seconds[lane] if oldest else math.inf
    return min(waited, urgent.deadline_seconds - policy.urgent_seconds) if urgent else waited
