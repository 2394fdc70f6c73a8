"""Which messages of one partition are in flight, and up to where everything is finished. Pure.

An offset is always the *next* message to read. Offsets may have holes (compaction, transaction marks), so the
finished prefix is counted over polled messages, not over numbers.
"""


class OffsetTracker:
    """Offsets of one partition between polling and recording; they finish in any order."""

    def __init__(self, next_offset: int) -> None:
        self._in_flight: dict[int, float] = {}  # insertion order is offset order
        self._after_last_polled = next_offset

    def __len__(self) -> int:
        return len(self._in_flight)

    @property
    def next_offset(self) -> int:
        """The offset that a successor must start from: the oldest in flight, else the one after the last polled."""
        return next(iter(self._in_flight), self._after_last_polled)

    @property
    def oldest_seconds(self) -> float | None:
        """The time of the oldest message in flight, as it was given to `poll`."""
        return next(iter(self._in_flight.values()), None)

    def poll(self, offset: int, last_offset: int | None = None, sent_seconds: float = 0.0) -> bool:
        """Note a polled message; False for one that was polled before (it must not be worked on twice).

        With `last_offset`, it stands for everything up to there.
        """
        if offset < self._after_last_polled:
            return False
        self._in_flight[offset] = sent_seconds
        self._after_last_polled = (offset if last_offset is None else last_offset) + 1
        return True

    def finish(self, offset: int) -> None:
        """The message's outcome is about to be recorded; raises `KeyError` if it is not in flight."""
        del self._in_flight[offset]
