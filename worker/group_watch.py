"""Notices that a group counts on its member for other partitions than the client knows of.

With the group protocol `consumer`, brokers tell a member its partitions once, in the answer to a heartbeat. When that
answer comes too late, librdkafka (2.16) repeats the heartbeat as it was and does not ask for everything again, so the
partitions are nobody's until the group changes next; and those that it should give back, it keeps. Only the group can
tell. Knows confluent_kafka; decides nothing but that.
"""

import time
from collections.abc import Callable, Collection
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from confluent_kafka import KafkaException

from .message import Partition

# Between two questions.
WATCH_SECONDS = 10.0

# Asks brokers who has which partitions of the group.
Ask = Callable[[], "Future[Any]"]


class GroupWatch:
    """Asks from time to time and waits for no answer."""

    def __init__(self, ask: Ask, clock: Callable[[], float] = time.monotonic) -> None:
        self._ask = ask
        self._clock = clock
        self._asked_at_seconds = clock()
        self._asked: Future[Any] | None = None
        self._known_when_asked: frozenset[Partition] = frozenset()
        self._suspected: frozenset[Partition] = frozenset()

    def misheard(self, member_id: str | None, known: Collection[Partition]) -> frozenset[Partition]:
        """Partitions that are ours by the group and not by the client, or the other way round, twice in a row.

        Once is no reason: while partitions change hands the two differ for a moment.
        """
        if self._asked is None:
            if self._clock() - self._asked_at_seconds >= WATCH_SECONDS:
                self._asked_at_seconds, self._known_when_asked = self._clock(), frozenset(known)
                with suppress(KafkaException):
                    self._asked = self._ask()
            return frozenset()
        if not self._asked.done():
            return frozenset()
        answer, self._asked = self._asked, None
        given = _given(answer, member_id)
        if given is None or self._known_when_asked != frozenset(known):
            self._suspected = frozenset()
            return frozenset()
        different = given ^ frozenset(known)
        misheard, self._suspected = different & self._suspected, different
        return misheard


def _given(answer: "Future[Any]", member_id: str | None) -> frozenset[Partition] | None:
    """What the group has given this member; None where it does not say, or does not know it."""
    try:
        members = answer.result().members
    except KafkaException:
        return None
    for member in members:
        if member.member_id == member_id:
            return frozenset((entry.topic, entry.partition) for entry in member.assignment.topic_partitions)
    return None
