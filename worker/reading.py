"""Where the reading of each started partition stands, and which polled messages count. Pure.

Clients have delivered messages of a position that was left, and have begun behind the place where they were told to
begin. Neither may go unnoticed: an offset that nobody has seen would count as finished.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .broker import ReadFault
from .message import Message, Partition


@dataclass(slots=True)
class _Place:
    next_offset: int
    fault: ReadFault | None = None
    trusted: bool = False  # a message came from where reading was to begin


class Reading:
    """The next offset of each partition that was started."""

    def __init__(self) -> None:
        self._places: dict[Partition, _Place] = {}
        self._moved: dict[Partition, int] = {}  # started during the present poll
        self._jumps: dict[Partition, tuple[int, int]] = {}
        self._again: set[Partition] = set()
        self.jumps = 0

    def __contains__(self, partition: Partition) -> bool:
        return partition in self._places

    @property
    def partitions(self) -> frozenset[Partition]:
        return frozenset(self._places)

    def start(self, offsets: Mapping[Partition, int]) -> None:
        """Reading was told to go on at these offsets; forgets the partition's fault."""
        for partition, offset in offsets.items():
            self._places[partition] = _Place(offset)
        self._moved |= offsets

    def stop(self, partitions: Iterable[Partition]) -> None:
        for partition in partitions:
            self._places.pop(partition, None)
            self._jumps.pop(partition, None)

    def distrust(self, partitions: Iterable[Partition]) -> None:
        """The client was paused and resumed there, so it went back to a position of its own."""
        for partition in partitions:
            self._places[partition].trusted = False

    def begin_poll(self) -> None:
        self._moved.clear()
        self._again.clear()

    def end_poll(self) -> dict[Partition, int]:
        """Partitions that must be read once more, and from where: what the poll brought of them was not right."""
        return {partition: self._places[partition].next_offset for partition in self._again if partition in self}

    def take(self, message: Message) -> bool:
        """Whether the message is the next of its partition."""
        partition, place = message.partition, self._places.get(message.partition)
        if place is None or place.fault is not None or message.offset < place.next_offset:
            return False
        if partition in self._moved or partition in self._again:
            # It may be of the former position: a gap before it would go unnoticed.
            self._again.add(partition)
            return False
        if not place.trusted and message.offset > place.next_offset and not self._is_hole(message, place.next_offset):
            self._again.add(partition)
            return False
        place.next_offset, place.trusted = message.offset + 1, True
        return True

    def fail(self, partition: Partition, error: str) -> None:
        """The client reported an error of this partition: nothing of it counts until it is started again."""
        place = self._places.get(partition)
        if place is not None and place.fault is None:
            place.fault = ReadFault(partition, place.next_offset, error)

    def faults(self) -> list[ReadFault]:
        return [place.fault for place in self._places.values() if place.fault is not None]

    def next_offsets(self) -> dict[Partition, int]:
        """The next offset of each partition that is read without a fault."""
        return {partition: place.next_offset for partition, place in self._places.items() if place.fault is None}

    def _is_hole(self, message: Message, expected: int) -> bool:
        """Whether offsets are really missing (transaction marks, compaction): then a second reading finds the same."""
        seen = (expected, message.offset)
        known = self._jumps.get(message.partition) == seen
        self._jumps[message.partition] = seen
        if not known:
            self.jumps += 1
        return known
