"""Which keys may be known: a Bloom filter (Bloom 1970) of fixed size. Knows no database.

Written here, because it is twenty lines: the libraries bring a compiled dependency, or hash a second time what is a
digest already.
"""

import struct

# 16 MiB. With ten million keys it is wrong about 1 in 230 unknown ones (measured), with a hundred million about most.
BITS = 1 << 27
# Four independent numbers out of a digest of 16 bytes.
_NUMBERS = struct.Struct("<4I").unpack


class KeyFilter:
    """Says of a digest of 16 bytes that it was never added, or that it may have been."""

    def __init__(self, bits: int = BITS) -> None:
        self._mask = bits - 1
        # The kernel gives the memory page by page, when the first key falls into one.
        self._bits = bytearray(bits >> 3)

    def add(self, key: bytes) -> None:
        """From now on the key may be known."""
        bits, mask = self._bits, self._mask
        for number in _NUMBERS(key):
            place = number & mask
            bits[place >> 3] |= 1 << (place & 7)

    def __contains__(self, key: bytes) -> bool:
        """False = certainly never added."""
        bits, mask = self._bits, self._mask
        for number in _NUMBERS(key):
            place = number & mask
            if not bits[place >> 3] >> (place & 7) & 1:
                return False
        return True
