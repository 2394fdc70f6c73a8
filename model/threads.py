"""How many threads compute: PyTorch's, and those of compiled layers. Starts none."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch

# Threads of compiled layers where PyTorch's number is not theirs.
_of_layers: ContextVar[int | None] = ContextVar("dragoman_threads_of_layers", default=None)


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread meanwhile: right for many small operations.

    On a busy machine the threads of an operation wait for each other: loading a checkpoint took 1.5 s instead of 0.2 s.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def threads_for_layers() -> Iterator[None]:
    """Leave PyTorch's threads to layers that are compiled code, and let it compute with one meanwhile.

    PyTorch's threads go on spinning for a while after each operation. With the threads of a layer they were more than
    processors, and an epoch of the seed task took 10 s instead of 6 (benchmarks/NOTES.md).
    """
    token = _of_layers.set(torch.get_num_threads())
    try:
        with one_thread():
            yield
    finally:
        _of_layers.reset(token)


def layer_threads() -> int:
    """How many threads a compiled layer takes."""
    threads = _of_layers.get()
    return torch.get_num_threads() if threads is None else threads
