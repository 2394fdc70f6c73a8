"""When a device that has ended is started again, and when no more. Pure."""

from .device import DeviceLostError

# Starts in a row that may fail before the worker gives up.
MOST_FAILED_STARTS = 5
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.5, 30.0


class Restarts:
    """Starts of one device; one that came up is forgotten at once, for it ended on what it was given."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._failed = 0

    @property
    def wait_seconds(self) -> float:
        """How long to wait before the next start."""
        if not self._failed:
            return 0.0
        return float(min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2 ** (self._failed - 1)))

    def succeeded(self) -> None:
        """The device came up."""
        self._failed = 0

    def failed(self, detail: str) -> None:
        """It did not come up; raises `DeviceLostError` after too many."""
        self._failed += 1
        if self._failed >= MOST_FAILED_STARTS:
            raise DeviceLostError(
                f"the device {self._name} did not come up {self._failed} times in a row ({detail}): look at its "
                "driver's log and its memory, then start the worker again; nothing was given up for it"
            )
