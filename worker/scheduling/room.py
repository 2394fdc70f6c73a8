"""What a device can take in now. Knows no device."""

import sys
from collections.abc import Callable
from dataclasses import dataclass

from .pool import Pool


@dataclass(frozen=True, slots=True)
class Room:
    """Rows and padded pieces that the device has free, and which pools it may serve; None = all.

    `is_all`: nothing runs on the device, so no segment can wait for more room.
    """

    rows: int
    pieces: int
    pools: Callable[[Pool], bool] | None = None
    is_all: bool = False

    def serves(self, pool: Pool) -> bool:
        return self.pools is None or self.pools(pool)


# A device that takes whatever the settings allow in one batch.
AMPLE_ROOM = Room(sys.maxsize, sys.maxsize)
