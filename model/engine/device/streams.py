"""In which order a device works: on a CPU all is done at once, `cuda` has the same for CUDA. Knows no network."""

from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


class Mark:
    """A point in the work that was launched; on a CPU all of it is done already."""

    @property
    def is_reached(self) -> bool:
        """Whether everything before it is done; never blocks."""
        return True

    def wait(self) -> None:
        """Block until everything before it is done."""


class Streams:
    """Three orders of work: decoding, encoding beside it, and copies to the host. On a CPU they are one."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def decoding(self) -> AbstractContextManager[object]:
        """What is launched inside comes after all decoding before it."""
        return nullcontext()

    def encoding(self) -> AbstractContextManager[object]:
        """What is launched inside runs beside decoding."""
        return nullcontext()

    def copying(self) -> AbstractContextManager[object]:
        """What is launched inside overtakes the decoding that was launched before it."""
        return nullcontext()

    def mark(self) -> Mark:
        """A mark after what was launched so far in the present order."""
        return Mark()

    def wait_for(self, mark: Mark) -> None:
        """What is launched from now on in the present order begins after `mark`; the host does not wait."""

    def to_device(self, tensor: Tensor) -> Tensor:
        """A copy of a host tensor, made in the present order without waiting for it."""
        return tensor.clone()

    def to_host(self, tensor: Tensor) -> Tensor:
        """A copy on the host, to be read once a later mark is reached."""
        return tensor.clone()

    def attention_kernels(self) -> AbstractContextManager[object]:
        """Inside it, attention takes only kernels that may be captured and need no plan for each new shape."""
        return nullcontext()

    def launch(self, shape: Hashable, step: Callable[[], None], times: int) -> None:  # noqa: ARG002
        """Do `step` so many times; steps of one `shape` are one sequence of operations on the same memory."""
        for _ in range(times):
            step()

    def release(self) -> None:
        """Forget what was kept for launching; waits for the device."""
