"""What a torch engine may use, and how it works. Knows no tensors' contents."""

from dataclasses import dataclass
from typing import Literal, Self

import torch

from ....errors import ConfigurationError
from ..limits import Shapes as Shapes

Precision = Literal["float32", "bfloat16", "float16"]
# "graphs" is for CUDA; on a CPU, and to measure what graphs bring, steps are launched one operation at a time.
Launch = Literal["graphs", "eager"]

PRECISIONS: dict[Precision, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
# A default that leaves room for weights, activations and another model.
SHARE_OF_FREE_MEMORY = 0.4
CPU_CACHE_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class DeviceSettings:
    """How a torch engine works; raises `ConfigurationError` for values that cannot be.

    There is one lane of segments for each of `beam_sizes`; a segment goes into the narrowest that holds its beam.
    Each lane gets an equal share of `cache_bytes`, on first use, and has at most `rows` rows, segments times beam
    size. Between two looks at what has finished lie `steps_per_run` steps; `runs_in_flight` such runs are launched
    before the first of them is read, so that the device never waits. `source_pieces` and `target_pieces` are the
    longest source (with END) and target (with BEGIN) there is room for: None is what the network takes.
    """

    precision: Precision = "float32"
    cache_bytes: int = CPU_CACHE_BYTES
    rows: int = 64
    beam_sizes: tuple[int, ...] = (1, 4, 8)
    steps_per_run: int = 4
    runs_in_flight: int = 1
    source_pieces: int | None = None
    target_pieces: int | None = None
    shapes: Shapes = "fitting"
    launch: Launch = "eager"
    encoder_rows: int = 64
    waiting_segments: int = 10_000

    def __post_init__(self) -> None:
        counts = ("cache_bytes", "rows", "steps_per_run", "runs_in_flight", "encoder_rows", "waiting_segments")
        for name in counts:
            _require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}: take at least 1")
        _require(bool(self.beam_sizes), "there are no beam sizes: take at least (1,)")
        _require(
            list(self.beam_sizes) == sorted(set(self.beam_sizes)) and self.beam_sizes[0] >= 1,
            f"the beam sizes are {self.beam_sizes}: list each once, ascending, from 1 on",
        )
        # The table of ancestors keeps places in a beam as 8-bit numbers.
        _require(self.beam_sizes[-1] <= 127, f"a beam of {self.beam_sizes[-1]} is too wide: take at most 127")
        for pieces in (self.source_pieces, self.target_pieces):
            _require(pieces is None or pieces >= 2, f"room for {pieces} pieces holds no segment: take at least 2")

    @classmethod
    def of(cls, device: torch.device, precision: Precision) -> Self:
        """What suits a device when nobody says otherwise."""
        if device.type == "cpu":
            return cls(precision)
        free_bytes, _ = torch.cuda.mem_get_info(device)
        cache_bytes = int(SHARE_OF_FREE_MEMORY * free_bytes)
        return cls(precision, cache_bytes, rows=512, runs_in_flight=2, launch="graphs", encoder_rows=128)

    @property
    def dtype(self) -> torch.dtype:
        return PRECISIONS[self.precision]


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise ConfigurationError(otherwise)
