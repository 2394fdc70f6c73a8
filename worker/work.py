"""What becomes of a message inside the worker: a segment that waits, then an outcome to be recorded.

Values that every job makes one of are tuples: to make a frozen dataclass takes three times as long.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from ..schemas.jobs import TranslationJob
from ..storage.quarantine import QuarantinedRange
from ..storage.records import BatchRow, HistoryRow, OutboxEvent
from .assignments import Delivery


class Segment(NamedTuple):
    """An admitted job, cut into the pieces of the model `model_version` and waiting for a batch.

    `attempts` is None, but for one that was in the hands of a device that died: how often it was tried alone since.
    """

    delivery: Delivery
    job: TranslationJob
    pieces: tuple[int, ...]
    admitted_at: datetime
    waiting_since_seconds: float
    attempts: int | None = None
    model_version: str = ""

    @property
    def length(self) -> int:
        """Source pieces with the END mark: what the segment takes up in a batch."""
        return len(self.pieces) + 1


class Outcome(NamedTuple):
    """A delivery with nothing left to do but recording; without a row the history has the job already.

    `quarantined` says that the delivery stands for messages that nobody can read.
    """

    delivery: Delivery
    row: HistoryRow | None = None
    events: tuple[OutboxEvent, ...] = ()
    batch: BatchRow | None = None
    quarantined: QuarantinedRange | None = None

    @property
    def is_untraced(self) -> bool:
        """Whether its events must not lie in the outbox: they are published before the row is recorded."""
        return self.row is not None and self.row.no_trace


@dataclass(frozen=True, slots=True)
class Identity:
    """Who we are in leases and history, and the prefix of our topics."""

    worker_id: str
    group_id: str
    topic_prefix: str
