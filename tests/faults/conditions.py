"""What a proxy does to what passes through it. A value: the proxy is given another one as a whole."""

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Conditions:
    """A network's weather; the plain one changes nothing."""

    latency_seconds: float = 0.0  # one way
    jitter_seconds: float = 0.0  # added at random, order kept
    bytes_per_second: float | None = None  # of each connection and direction
    slice_bytes: int | None = None  # written so many bytes at a time
    silent: bool = False  # connections stay open, nothing passes: the far end is a black hole
    drop_requests: frozenset[int] = frozenset()  # Kafka: requests of these api keys never arrive
    drop_answers: frozenset[int] = frozenset()  # Kafka: they arrive, their answers do not


CLEAR = Conditions()


class Charge(StrEnum):
    """What happens to the next thing of its kind, as often as it was armed."""

    RESET_MID_FRAME = "reset_mid_frame"  # half of a frame to the client, then RST
    LOSE_COMMIT = "lose_commit"  # PostgreSQL never sees the COMMIT, the client sees RST
    LOSE_COMMIT_REPLY = "lose_commit_reply"  # PostgreSQL commits, and the client sees RST
