"""One segment in the scheduler's books."""

import math
from typing import TYPE_CHECKING

from ..work import Segment

if TYPE_CHECKING:
    from .pool_queue import PoolQueue

# (turn, number, entry): what heaps are ordered by; numbers differ, so entries are never compared.
Place = tuple[float, int, "Entry"]


class Entry:
    """A segment that waits for a batch, or for the translation of another segment with the same pieces.

    `waiting`: a batch can take it. `gone`: it was taken, removed, or has expired. `near`: its client had little waiting
    when it came. `may_hurry`: it may go out of turn when it is about to expire. Heaps are not searched for entries
    that leave from their middle: those are skipped when they come to the top.
    """

    __slots__ = (
        "deadline_seconds",
        "followers",
        "gone",
        "length",
        "may_hurry",
        "near",
        "number",
        "queue",
        "segment",
        "turn",
        "waiting",
    )

    def __init__(self, queue: "PoolQueue", segment: Segment, number: int) -> None:
        self.queue = queue
        self.segment = segment
        self.number = number
        self.length = segment.length
        self.turn = 0.0
        self.near = self.may_hurry = False
        self.waiting = False
        self.gone = False
        self.deadline_seconds = _deadline_seconds(segment)
        self.followers: list[Entry] | None = None

    @property
    def rank(self) -> tuple[bool, float]:
        """The lower, the sooner it is probably served: by lane, then by turn."""
        return (self.segment.job.lane != "interactive", self.turn)


def _deadline_seconds(segment: Segment) -> float:
    """The job's deadline on the clock that waiting is measured with: both were read when the job was admitted."""
    deadline = segment.job.deadline
    if deadline is None:
        return math.inf
    return segment.waiting_since_seconds + (deadline - segment.admitted_at).total_seconds()
