"""Everything of the torch engine that only CUDA has: streams, events, pinned memory, captured graphs.

What the documentation of `torch.cuda.CUDAGraph` asks of a capture, and where it is seen to: nothing in a step waits for
the device or depends on its numbers on the host (`decoder`, `choosing`); what it reads and writes has one address for
good (`lane_state`); every operation has run once before, outside, on the same stream (`launch`); captures share a
memory pool, which is allowed because they are replayed one after the other and leave nothing in it that is read later;
one capture at a time in a process (`_ONE_CAPTURE`), in a mode in which other threads may go on allocating.
"""

import threading
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from .streams import Mark, Streams

_ONE_CAPTURE = threading.Lock()
# cuDNN's attention makes a plan for every new shape, which takes far longer than a step.
_ATTENTION_KERNELS = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
# Lower numbers go first. The copies are tiny, and somebody waits for them.
_COPIES_FIRST = -1


class CudaMark(Mark):
    """An event recorded on the present stream."""

    def __init__(self) -> None:
        self._event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        self._event.record()

    @property
    def is_reached(self) -> bool:
        return bool(self._event.query())  # type: ignore[no-untyped-call]

    def wait(self) -> None:
        self._event.synchronize()

    def hold_back(self, stream: torch.cuda.Stream) -> None:
        stream.wait_event(self._event)


class CudaStreams(Streams):
    """Three CUDA streams, none of them the default one, and the graphs captured on the first."""

    def __init__(self, device: torch.device, captures: bool) -> None:
        super().__init__(device)
        self._captures = captures
        self._decoding, self._encoding = _stream(device), _stream(device)
        self._copying = _stream(device, _COPIES_FIRST)
        self._graphs: dict[Hashable, torch.cuda.CUDAGraph] = {}
        with torch.cuda.device(device):
            self._pool = torch.cuda.graph_pool_handle()
            # Weights were laid out on the default stream, which these do not wait for.
            torch.cuda.synchronize()

    def decoding(self) -> AbstractContextManager[object]:
        return torch.cuda.stream(self._decoding)

    def encoding(self) -> AbstractContextManager[object]:
        return torch.cuda.stream(self._encoding)

    def copying(self) -> AbstractContextManager[object]:
        return torch.cuda.stream(self._copying)

    def mark(self) -> CudaMark:
        return CudaMark()

    def wait_for(self, mark: Mark) -> None:
        if isinstance(mark, CudaMark):
            mark.hold_back(torch.cuda.current_stream(self.device))

    def to_device(self, tensor: Tensor) -> Tensor:
        # The pinned copy is kept by the allocator until the transfer is through.
        return tensor.pin_memory().to(self.device, non_blocking=True)

    def to_host(self, tensor: Tensor) -> Tensor:
        pinned = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
        return pinned.copy_(tensor, non_blocking=True)

    def attention_kernels(self) -> AbstractContextManager[object]:
        return sdpa_kernel(_ATTENTION_KERNELS)

    def launch(self, shape: Hashable, step: Callable[[], None], times: int) -> None:
        """The first run of a shape is launched operation by operation, which warms up; then the step is captured."""
        graph = self._graphs.get(shape)
        if graph is not None:
            for _ in range(times):
                graph.replay()
            return
        with self.attention_kernels():
            super().launch(shape, step, times)
            if self._captures:
                self._graphs[shape] = self._capture(step)

    def release(self) -> None:
        torch.cuda.synchronize(self.device)
        self._graphs.clear()

    def _capture(self, step: Callable[[], None]) -> torch.cuda.CUDAGraph:
        """Record one step without doing it; what it allocates stays in the pool that all graphs share."""
        graph = torch.cuda.CUDAGraph()
        with (
            _ONE_CAPTURE,
            torch.cuda.graph(graph, pool=self._pool, stream=self._decoding, capture_error_mode="thread_local"),
        ):
            step()
        return graph


def _stream(device: torch.device, priority: int = 0) -> torch.cuda.Stream:
    return torch.cuda.Stream(device, priority)  # type: ignore[no-untyped-call]


def product_in_float32(rows: Tensor, matrix: Tensor) -> Tensor:
    """Rows (N, D) times matrix (V, D), both in 16 bits, as the float32 sums (N, V) that the tensor cores keep."""
    return torch.mm(rows, matrix.t(), out_dtype=torch.float32)
