"""A consumer for each lane, as one broker: what waits in one lane is never behind what was fetched of another.

A client hands over what it has fetched in the order in which it came: with one for both lanes, an interactive message
waited until thousands of bulk messages before it had been polled. Knows no client library.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from .broker import Broker, Position, ReadFault
from .message import Message, Partition

# How long a turn waits for the first lane when nothing comes: the others are not looked at meanwhile.
WAIT_SECONDS = 0.05

Value = TypeVar("Value")


class LaneBrokers:
    """See `Broker`: each topic has a broker of its own, the most urgent one first."""

    def __init__(self, brokers: Mapping[str, Broker]) -> None:
        self._brokers = dict(brokers)
        self._something_came = False

    def poll(self, timeout_seconds: float) -> list[Message]:
        first, *others = self._brokers.values()
        # The most urgent lane last: a message of it that comes while others are polled need not wait for the next turn.
        messages = [message for broker in others for message in broker.poll(0.0)]
        messages += first.poll(0.0 if messages or self._something_came else min(timeout_seconds, WAIT_SECONDS))
        self._something_came = bool(messages)
        return messages

    def start(self, offsets: Mapping[Partition, int]) -> None:
        for broker, part in self._divided(offsets):
            broker.start(part)

    def unstarted(self) -> list[Partition]:
        return [partition for broker in self._brokers.values() for partition in broker.unstarted()]

    def reading(self) -> Mapping[Partition, int]:
        return {partition: at for broker in self._brokers.values() for partition, at in broker.reading().items()}

    def faults(self) -> list[ReadFault]:
        return [fault for broker in self._brokers.values() for fault in broker.faults()]

    def positions(self, partitions: Sequence[Partition]) -> dict[Partition, Position]:
        found: dict[Partition, Position] = {}
        for topic, broker in self._brokers.items():
            if asked := [partition for partition in partitions if partition[0] == topic]:
                found |= broker.positions(asked)
        return found

    def hold(self, topics: Collection[str]) -> None:
        for topic, broker in self._brokers.items():
            broker.hold({topic} & frozenset(topics))

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        for broker, part in self._divided(offsets):
            broker.commit(part)

    def lag(self, settled: Mapping[Partition, int]) -> int:
        return sum(broker.lag(part) for broker, part in self._divided(settled))

    def close(self, timeout_seconds: float) -> bool:
        """All at once, because each may take the whole time."""
        with ThreadPoolExecutor(len(self._brokers)) as pool:
            return all(list(pool.map(lambda broker: broker.close(timeout_seconds), self._brokers.values())))

    def _divided(self, values: Mapping[Partition, Value]) -> Iterable[tuple[Broker, dict[Partition, Value]]]:
        for topic, broker in self._brokers.items():
            yield broker, {partition: value for partition, value in values.items() if partition[0] == topic}
