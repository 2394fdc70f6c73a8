"""What bounds an engine. Knows nothing else."""

from dataclasses import dataclass, replace
from typing import Literal, Self, get_args

from ...errors import ConfigurationError

# Of the torch engine. "fitting": every step has the smallest captured shape that holds what runs. "fixed": every step
# of a lane has one and the same shape, so that the kernels, and with them the order of sums, never depend on the
# neighbours. What other engines compute never does.
Shapes = Literal["fitting", "fixed"]


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """`rows` and `cache_bytes` bound the running batch, `waiting` the segments that wait for a place in it.

    New segments of up to `encode_pieces` source pieces (or one) are encoded between two steps: less delays the running
    rows less, more makes larger matrix products. `threads` compute on a CPU. Of rows, cache_bytes and threads 0 is what
    suits the device. `shapes` fixed makes every step of the torch engine as large as the largest, so that a
    translation is bit for bit the same in any batch. Raises `ConfigurationError` for numbers that bound nothing.
    """

    rows: int = 0
    cache_bytes: int = 0
    waiting: int = 100_000
    encode_pieces: int = 512
    threads: int = 0
    shapes: Shapes = "fitting"

    def __post_init__(self) -> None:
        for name in ("waiting", "encode_pieces"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"the engine's limit {name} is {getattr(self, name)}: take 1 or more")
        for name in ("rows", "cache_bytes", "threads"):
            if getattr(self, name) < 0:
                raise ConfigurationError(
                    f"the engine's limit {name} is {getattr(self, name)}: take 0 (automatic) or more"
                )
        if self.shapes not in get_args(Shapes):
            raise ConfigurationError(f"the shapes of an engine's steps are {self.shapes!r}: take fitting or fixed")

    def suited(self, rows: int, cache_bytes: int) -> Self:
        """These limits, with `rows` and `cache_bytes` where they say 0."""
        return replace(self, rows=self.rows or rows, cache_bytes=self.cache_bytes or cache_bytes)
