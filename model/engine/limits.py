"""What bounds an engine. Knows nothing else."""

from dataclasses import dataclass

from ...errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """`rows` and `cache_bytes` bound the running batch, `waiting` the segments that wait for a place in it.

    New segments of up to `encode_pieces` source pieces (or one) are encoded between two steps: less delays the running
    rows less, more makes larger matrix products. `threads` compute on a CPU;
    0: as many as PyTorch would use. Raises `ConfigurationError` for numbers that bound nothing.
    """

    rows: int = 64
    cache_bytes: int = 1 << 30
    waiting: int = 100_000
    encode_pieces: int = 512
    threads: int = 0

    def __post_init__(self) -> None:
        for name in ("rows", "cache_bytes", "waiting", "encode_pieces"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"the engine's limit {name} is {getattr(self, name)}: take 1 or more")
        if self.threads < 0:
            raise ConfigurationError(f"{self.threads} threads cannot compute: take 0 (automatic) or more")
