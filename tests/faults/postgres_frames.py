"""PostgreSQL's wire protocol as far as a proxy must see it: where a COMMIT is sent.

https://www.postgresql.org/docs/current/protocol-message-formats.html: after the start of a session, a message is one
byte that names its type, its length (itself included), its content.
"""

import struct

LENGTH = struct.Struct(">i")
START = struct.Struct(">ii")
# Instead of a start, a client may first ask for encryption; it is answered by one byte, and then starts.
QUESTIONS = {80877103, 80877104}
SIMPLE_QUERY = b"Q"


class MessageBuffer:
    """What a client says, in whole messages."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._started = False

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes in; return the messages that are complete by now."""
        self._bytes += data
        messages = []
        while (end := self._end()) is not None and len(self._bytes) >= end:
            message = bytes(self._bytes[:end])
            del self._bytes[:end]
            if not self._started:
                self._started = START.unpack_from(message)[1] not in QUESTIONS
            messages.append(message)
        return messages

    def _end(self) -> int | None:
        """Where the first message ends, if its length is there."""
        head = 1 if self._started else 0
        needed = 5 if self._started else START.size
        if len(self._bytes) < needed:
            return None
        return head + int(LENGTH.unpack_from(self._bytes, head)[0])


def is_commit(message: bytes) -> bool:
    """Whether a message ends with a COMMIT: alone, as psycopg2 sends it, or behind other statements."""
    return message[:1] == SIMPLE_QUERY and message[5:].rstrip(b"\0; ").rpartition(b";")[2].strip().upper() == b"COMMIT"
