"""Kafka's wire protocol as far as a proxy must see it: frames, what a request asks, which answer belongs to it.

https://kafka.apache.org/protocol: a frame is its length and its bytes; a request begins with api key, version and
correlation id, an answer with the correlation id.
"""

import struct
from enum import IntEnum

LENGTH = struct.Struct(">i")
REQUEST = struct.Struct(">hhi")  # api key, version, correlation id


class Api(IntEnum):
    """What a request asks for: those that the suite treats in a way of their own."""

    PRODUCE = 0
    FETCH = 1
    OFFSET_COMMIT = 8
    JOIN_GROUP = 11
    HEARTBEAT = 12
    CONSUMER_GROUP_HEARTBEAT = 68


class FrameBuffer:
    """Bytes in, whole frames out, each with its length before it."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes in; return the frames that are complete by now."""
        self._bytes += data
        frames = []
        while len(self._bytes) >= LENGTH.size:
            end = LENGTH.size + LENGTH.unpack_from(self._bytes)[0]
            if len(self._bytes) < end:
                break
            frames.append(bytes(self._bytes[:end]))
            del self._bytes[:end]
        return frames


def api_of(request: bytes) -> int:
    """The api key of a request frame."""
    key: int = REQUEST.unpack_from(request, LENGTH.size)[0]
    return key


def correlation_of_request(request: bytes) -> int:
    """The number by which its answer is known."""
    number: int = REQUEST.unpack_from(request, LENGTH.size)[2]
    return number


def correlation_of_answer(answer: bytes) -> int:
    """The number of the request that this answers."""
    number: int = LENGTH.unpack_from(answer, LENGTH.size)[0]
    return number
