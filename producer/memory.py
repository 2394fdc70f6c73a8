"""A publisher in memory, for the tests of services that submit jobs. Keeps every message; knows no Kafka."""

import threading
from collections import deque
from collections.abc import Sequence

from .errors import MissingTopicError
from .publisher import DeliveryReport, OnReport, OutgoingMessage


class MemoryPublisher:
    """Delivers at the next poll. With `error` set, nothing is delivered, and that is what the reports say."""

    def __init__(self, buffer_messages: int = 1_000, missing_topics: Sequence[str] = ()) -> None:
        self.messages: list[OutgoingMessage] = []
        self.error: str | None = None
        self.frozen = False  # like a broker that does not answer: nothing is reported
        self.closed = False
        self._buffer_messages = buffer_messages
        self._missing_topics = frozenset(missing_topics)
        self._waiting: deque[tuple[OutgoingMessage, OnReport]] = deque()
        self._something_waits = threading.Event()

    def check(self, topics: Sequence[str], timeout_seconds: float) -> None:  # noqa: ARG002 - memory answers at once
        """Raise `MissingTopicError` for a topic that was declared missing."""
        for topic in topics:
            if topic in self._missing_topics:
                raise MissingTopicError(f"topic {topic} does not exist: run `dragoman topics create`")

    def publish(self, message: OutgoingMessage, on_report: OnReport) -> bool:
        """Take the message unless the buffer is full."""
        if len(self._waiting) >= self._buffer_messages:
            return False
        self._waiting.append((message, on_report))
        self._something_waits.set()
        return True

    def poll(self, timeout_seconds: float) -> None:
        """Report on everything that waits."""
        self._something_waits.wait(timeout_seconds)
        self._something_waits.clear()
        while self._waiting and not self.frozen:
            try:
                message, on_report = self._waiting.popleft()
            except IndexError:  # another thread polls too
                return
            if self.error is None:
                self.messages.append(message)
            on_report(DeliveryReport(self.error, partition=0, offset=len(self.messages) - 1))

    def close(self) -> None:
        """Drop what waits."""
        self._waiting.clear()
        self.closed = True
