"""A segment on its way through a device."""

from dataclasses import dataclass

from ..work import Segment


@dataclass(slots=True)
class Entry:
    """A segment, and how often it was begun.

    `attempt` counts passes from 1; `tried_alone` how often, by what the database knows, a device had nothing but it
    after one had died with it.
    """

    segment: Segment
    attempt: int = 0
    tried_alone: int = 0

    @property
    def is_suspect(self) -> bool:
        """Whether it was in the hands of a device that died, or may have brought whole workers down."""
        return self.segment.attempts is not None or self.segment.delivery.is_suspect
