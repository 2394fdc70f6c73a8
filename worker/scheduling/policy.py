"""The numbers that the scheduler is ruled by."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ...model.batching import BatchLimits
from ...schemas.jobs import Lane


def _short_waits() -> Mapping[Lane, float]:
    return {"interactive": 0.005, "bulk": 0.05}


@dataclass(frozen=True, slots=True)
class Policy:
    """Limits of a batch, and who gets how much of what the device does.

    `wait_seconds`: how long a segment of each lane waits for others to share its batch. `interactive_weight`: padded
    pieces that interactive gets for each that bulk gets while both wait. `bulk_floor`: share that bulk gets whatever
    the weight. `aging_seconds`: bulk that waits goes next when it was not first for so long.
    """

    limits: BatchLimits
    wait_seconds: Mapping[Lane, float] = field(default_factory=_short_waits)
    interactive_weight: float = 8.0
    bulk_floor: float = 0.1
    aging_seconds: float = 5.0
    # A job that would expire within this goes out of turn: the time of a full batch on a slow CPU, and of the next.
    urgent_seconds: float = 2.0

    @property
    def bulk_share(self) -> float:
        """Share of the padded pieces that bulk gets while both lanes wait."""
        return max(self.bulk_floor, 1.0 / (1.0 + self.interactive_weight))
