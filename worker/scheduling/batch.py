"""Segments that leave the waiting room together."""

from dataclasses import dataclass

from ..work import Segment
from .pool import Pool


@dataclass(frozen=True, slots=True)
class Batch:
    """Segments to translate together, shortest first."""

    pool: Pool
    segments: tuple[Segment, ...]

    @property
    def padded_pieces(self) -> int:
        """Source places in the padded batch, END marks counted."""
        return len(self.segments) * max(segment.length for segment in self.segments)

    @property
    def source_pieces(self) -> int:
        """Those of them that hold a real piece."""
        return sum(segment.length for segment in self.segments)
