"""Notices partitions that are read and do not move. Pure; does not know whether there is anything to read."""

from collections.abc import Mapping
from dataclasses import dataclass

from .message import Partition

# Far beyond a busy broker's answer; well before somebody is called.
STALL_SECONDS = 30.0


@dataclass(slots=True)
class _Standstill:
    next_offset: int
    since_seconds: float
    patience_seconds: float


class StallWatch:
    """Remembers since when each partition stands where it stands."""

    def __init__(self, patience_seconds: float | None = None) -> None:
        self._patience_seconds = STALL_SECONDS if patience_seconds is None else patience_seconds
        self._places: dict[Partition, _Standstill] = {}

    def observe(self, next_offsets: Mapping[Partition, int], now_seconds: float) -> list[Partition]:
        """Partitions that have not moved for so long that somebody should ask why.

        Each is named once, then again after twice the time: what there is may be marks that never become messages.
        """
        self._places = {
            partition: self._at(partition, offset, now_seconds) for partition, offset in next_offsets.items()
        }
        named = [p for p, at in self._places.items() if now_seconds - at.since_seconds >= at.patience_seconds]
        for partition in named:
            self._places[partition].since_seconds = now_seconds
            self._places[partition].patience_seconds *= 2
        return named

    def _at(self, partition: Partition, offset: int, now_seconds: float) -> _Standstill:
        known = self._places.get(partition)
        if known is not None and known.next_offset == offset:
            return known
        return _Standstill(offset, now_seconds, self._patience_seconds)
