"""What a device can take now. Knows no device."""

from collections.abc import Callable
from dataclasses import dataclass

from .pool import Pool


@dataclass(frozen=True, slots=True)
class Room:
    """Room for `rows` segments of `pieces` padded source pieces together; `pools` says of which pools, None of any."""

    rows: int
    pieces: int
    pools: Callable[[Pool], bool] | None = None

    def serves(self, pool: Pool) -> bool:
        """Whether segments of this pool may come now."""
        return self.pools is None or self.pools(pool)
