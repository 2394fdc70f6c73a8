"""How full a running batch has been. Knows nothing else."""

from dataclasses import dataclass


@dataclass(slots=True)
class Occupancy:
    """Steps so far, and how full they were: `rows` of `places` rows in use, summed over the steps."""

    steps: int = 0
    rows: int = 0
    places: int = 0
    segments: int = 0

    @property
    def share(self) -> float:
        """Rows in use of rows that there were, over all steps."""
        return self.rows / self.places if self.places else 0.0
