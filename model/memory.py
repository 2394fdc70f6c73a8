"""Keeps freed memory in the process, for loops that allocate the same large tensors again and again."""

import ctypes
import sys

# Numbers of <malloc.h>.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_NEVER_TRIM_BYTES = 2**31 - 1
_TOP_PAD_BYTES = 64 << 20


def keep_freed_memory() -> bool:
    """Tell glibc to reuse freed memory instead of returning it; False where there is no glibc.

    By default every tensor above 32 MiB is mapped afresh and its pages are zeroed by the kernel: with a
    vocabulary of 8,000 that took 30 % of a training step on two CPU cores (benchmarks/NOTES.md).
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False
    wanted = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, _NEVER_TRIM_BYTES), (_M_TOP_PAD, _TOP_PAD_BYTES))
    accepted = [mallopt(name, value) for name, value in wanted]
    return all(accepted)
