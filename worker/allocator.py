"""How the C library keeps memory that was freed. Knows glibc's words for it; elsewhere nothing happens."""

import ctypes
from contextlib import suppress

# https://man7.org/linux/man-pages/man3/mallopt.3.html
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
# Left to itself, glibc raises both after the first large block, and keeps up to 64 MB a thread: what a decompression
# bomb unfolded to would stay ours for ever. No job is as large as that.
LARGE_BLOCK_BYTES = 4 * 1024 * 1024
KEPT_BYTES = 8 * 1024 * 1024


def give_large_blocks_back() -> None:
    """From now on, return large blocks to the system as soon as they are freed."""
    with suppress(AttributeError, OSError):
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES)
        library.mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
