"""Notices that an answer to a heartbeat came too late, and with it, perhaps, which partitions are ours.

With the group protocol `consumer` brokers tell a member its partitions once, in the answer to a heartbeat. When that
answer is late, librdkafka (2.16) repeats the heartbeat as it was and does not ask for everything again: partitions that
were given to us are nobody's until the group changes next, and those that we should give back stay ours. Only joining
anew tells. Knows the words of librdkafka's log; calls no client.
"""

import time
from collections.abc import Callable

import structlog

from ..errors import TransientError
from .kafka_positions import Answer

log = structlog.get_logger(__name__)

# Between two questions whether brokers answer again.
ASK_SECONDS = 1.0
# A client is left at peace for so long, so that slow brokers are not kept busy with members that come and go.
LEAST_AGE_SECONDS = 30.0
# What librdkafka logs of each request whose answer did not come in time, and how it names ours.
TIMED_OUT, HEARTBEAT = "REQTMOUT", "Timed out ConsumerGroupHeartbeatRequest"


class HeartbeatWatch:
    """Of one client; `ask` asks brokers for anything, to see whether they answer."""

    def __init__(self, ask: Callable[[], Answer], clock: Callable[[], float] = time.monotonic) -> None:
        self._ask = ask
        self._clock = clock
        self._made_at_seconds = clock()
        self._ask_from_seconds = self._made_at_seconds
        self._lost = False
        self._asked: Answer | None = None

    def log(self, _level: int, _pattern: str, facility: str, client: str, line: str) -> None:
        """What confluent_kafka calls, as its `logger`, for each line of librdkafka's log, while it is polled."""
        # Dozens a second while brokers are away; what matters of it comes as an error too.
        log.debug("kafka_client_said", facility=facility, client=client, line=line)
        if facility == TIMED_OUT and HEARTBEAT in line:
            # What was asked before proves nothing now.
            self._lost, self._asked = True, None

    def must_rejoin(self) -> bool:
        """Whether an answer was lost, and brokers answer again: before that, leaving would not reach them."""
        if not self._lost:
            return False
        now = self._clock()
        if now - self._made_at_seconds < LEAST_AGE_SECONDS:
            return False
        if self._asked is None:
            if now >= self._ask_from_seconds:
                self._ask_from_seconds = now + ASK_SECONDS
                self._asked = self._ask_now()
            return False
        if not self._asked.is_there:
            return False
        answer, self._asked = self._asked, None
        try:
            answer.ids()
        except TransientError:
            return False
        return True

    def _ask_now(self) -> Answer | None:
        try:
            return self._ask()
        except TransientError:
            return None
