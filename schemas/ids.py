"""Job and event ids. Knows the layout of UUIDs (RFC 9562); does not know what is in a message."""

import hashlib
import os
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID, SafeUUID

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

# The history is partitioned by the month inside the job id: an id far from the present has no partition.
EARLIEST_TIME = datetime(2020, 1, 1, tzinfo=UTC)
LATEST_TIME = datetime(2100, 1, 1, tzinfo=UTC)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_EARLIEST_MILLISECOND = (EARLIEST_TIME - _EPOCH) // _MILLISECOND
_LATEST_MILLISECOND = (LATEST_TIME - _EPOCH) // _MILLISECOND

RESULT_EVENT = "result"
DEAD_LETTER_EVENT = "dead-letter"

# Of the 128 bits, those that say version and variant (RFC 9562), and the others.
_VERSION_BITS = 0xF << 76 | 0b11 << 62
_FREE_BITS = (1 << 128) - 1 & ~_VERSION_BITS
_VERSION_7 = 7 << 76 | 0b10 << 62
# Looking up a member of an enumeration runs Python.
_UNKNOWN = SafeUUID.unknown
_VERSION_5 = 5 << 76 | 0b10 << 62

_COUNTER_BITS = 42  # RFC 9562, 6.2, method 1: the counter fills rand_a (12 bits) and the head of rand_b (30 bits)


def new_job_id() -> UUID:
    """Return a fresh UUIDv7, greater than every one this process made before."""
    milliseconds, counter = _sequence.advance(time.time_ns() // 1_000_000)
    tail = int.from_bytes(os.urandom(4))
    return _uuid7(milliseconds, counter << 32 | tail)


def derived_id(when: datetime, *parts: str) -> UUID:
    """Return a v7-shaped id that depends on nothing but `when` (to the millisecond) and `parts`.

    It is the job id of a message in which no job id can be read, so that a redelivery gets the same one.
    Times outside 2020-2100 are moved to the nearest end.
    """
    digest = hashlib.sha256("\x00".join(parts).encode("utf-8", "surrogatepass")).digest()
    moment = min(max(when, EARLIEST_TIME), LATEST_TIME - _MILLISECOND)
    return _uuid7((moment - _EPOCH) // _MILLISECOND, int.from_bytes(digest[:10]))


def uuid7_time(job_id: UUID) -> datetime:
    """Return the time inside a UUIDv7, in UTC, to the millisecond; raises ValueError for another version."""
    if job_id.version != 7:
        raise ValueError(f"{job_id} is not a UUID of version 7")
    return _EPOCH + timedelta(milliseconds=job_id.int >> 80)


def event_id(job_id: UUID, kind: str) -> UUID:
    """Return the id of the one event of this `kind` about this job: the same each time it is published."""
    # What `uuid.uuid5` does, in a third of the time: every job needs one.
    digest = hashlib.sha1(job_id.bytes + kind.encode(), usedforsecurity=False).digest()
    return _of_bits(int.from_bytes(digest[:16]) & _FREE_BITS | _VERSION_5)


class _Sequence:
    """Milliseconds and counter that never run backwards, whatever the clock does."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._milliseconds = 0
        self._counter = 0

    def advance(self, now_milliseconds: int) -> tuple[int, int]:
        with self._lock:
            if now_milliseconds > self._milliseconds:
                self._restart(now_milliseconds)
            else:
                self._counter += 1
                if self._counter >> _COUNTER_BITS:
                    self._restart(self._milliseconds + 1)
            return self._milliseconds, self._counter

    def _restart(self, milliseconds: int) -> None:
        self._milliseconds = milliseconds
        # The top bit stays clear, so that a millisecond has room for at least 2**41 ids.
        self._counter = int.from_bytes(os.urandom(6)) >> (48 - _COUNTER_BITS + 1)


_sequence = _Sequence()


def _of_bits(bits: int) -> UUID:
    """What `UUID(int=bits)` is, without its tests of the arguments, which take most of its time."""
    made: UUID = object.__new__(UUID)
    object.__setattr__(made, "int", bits)
    object.__setattr__(made, "is_safe", _UNKNOWN)
    return made


def _uuid7(milliseconds: int, low: int) -> UUID:
    """Lay out 48 bits of time, the version, and the lowest 74 bits of `low` around the variant."""
    head = low >> 62 & 0xFFF
    tail = low & (1 << 62) - 1
    return UUID(int=(milliseconds & (1 << 48) - 1) << 80 | 7 << 76 | head << 64 | 0b10 << 62 | tail)


def _is_job_id(value: UUID) -> UUID:
    # The properties `version` and `variant` take three times as long; every job is asked.
    if value.int & _VERSION_BITS != _VERSION_7:
        raise PydanticCustomError(
            "job_id_version",
            "it must be a UUID of version 7 (RFC 9562): it is the idempotency key and carries time",
        )
    if not _EARLIEST_MILLISECOND <= value.int >> 80 < _LATEST_MILLISECOND:
        raise PydanticCustomError("job_id_time", "the time inside it lies outside 2020-2100: check the clock")
    return value


JobId = Annotated[UUID, AfterValidator(_is_job_id)]
