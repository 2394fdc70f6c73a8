"""The processes of one run: alone, or started by `torchrun`. Knows ranks and sums, nothing of training.

Numbers for decisions travel over gloo on the CPU, so that they never wait for the GPU; gradients travel over NCCL
on CUDA and over gloo elsewhere.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ...errors import ConfigurationError
from ..translator import resolve_device


@dataclass(frozen=True, slots=True)
class Processes:
    """Which of how many processes this is, and the device it trains on."""

    rank: int
    count: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this one saves, evaluates and reports."""
        return self.rank == 0

    def sums(self, numbers: Sequence[float]) -> list[float]:
        """Each number summed over all processes; blocks until all have called."""
        if self.count == 1:
            return list(numbers)
        total = torch.tensor(numbers, dtype=torch.float64)
        dist.all_reduce(total)
        sums: list[float] = total.tolist()
        return sums

    def gathered(self, content: bytes) -> list[bytes]:
        """The content of every process, by rank; blocks until all have called."""
        if self.count == 1:
            return [content]
        lengths = [int(length) for length in self.sums([len(content) * (self.rank == i) for i in range(self.count)])]
        rows = [torch.empty(max(lengths), dtype=torch.uint8) for _ in lengths]
        dist.all_gather(rows, _filled(content, max(lengths)))
        return [bytes(row[:length].numpy()) for row, length in zip(rows, lengths, strict=True)]

    def from_leader(self, content: bytes) -> bytes:
        """The leader's content, in every process."""
        return self.gathered(content if self.leads else b"")[0]

    def wrapped(self, module: nn.Module) -> nn.Module:
        """The module, with gradients averaged over all processes after each backward pass."""
        if self.count == 1:
            return module
        return DistributedDataParallel(module, gradient_as_bucket_view=True)


@contextmanager
def processes(device: str, environment: Mapping[str, str] = os.environ) -> Iterator[Processes]:
    """Join the group that `torchrun` describes in the environment, if it does; leave it at the end.

    Raises `ConfigurationError` for a device that is not there; on CUDA each process takes the GPU of its local rank.
    """
    count = int(environment.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Processes(0, 1, resolve_device(device))
        return
    own = _own_device(device, int(environment.get("LOCAL_RANK", "0")))
    if own.type == "cuda":
        torch.cuda.set_device(own)
    dist.init_process_group("cpu:gloo,cuda:nccl" if own.type == "cuda" else "gloo")
    try:
        yield Processes(dist.get_rank(), count, own)
    finally:
        dist.destroy_process_group()


def _own_device(device: str, local_rank: int) -> torch.device:
    if ":" in device:
        raise ConfigurationError(f"several processes cannot share {device}: set run.device to cpu, cuda or auto")
    first = resolve_device(device)
    return first if first.type == "cpu" else resolve_device(f"cuda:{local_rank}")


def _filled(content: bytes, length: int) -> Tensor:
    return torch.frombuffer(bytearray(content.ljust(length, b"\0")), dtype=torch.uint8)
