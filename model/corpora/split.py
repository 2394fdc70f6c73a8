"""Which part of a corpus a segment belongs to: for learning, for choosing, or for the final word. Pure.

The part follows from the words of the source alone, by a hash whose shares never change: a segment that was once in a
test set is in no training set of any later export, whatever its translation, its filters and its size.
"""

import hashlib
import re
import unicodedata
from typing import Literal

Part = Literal["train", "dev", "test"]

# Of a thousand. Never change them: what was test would come into train.
TEST_PERMILLE = 30
DEV_PERMILLE = 30
_WORD = re.compile(r"\w+")


def part_of(source: str) -> Part:
    """The part of a source; alike sources, but for case, punctuation and spaces, are in the same."""
    digest = hashlib.blake2b(_words(source).encode(errors="surrogatepass"), digest_size=8, person=b"split").digest()
    place = int.from_bytes(digest, "big") % 1000
    if place < TEST_PERMILLE:
        return "test"
    return "dev" if place < TEST_PERMILLE + DEV_PERMILLE else "train"


def _words(source: str) -> str:
    # Twice: what NFKC makes of a character may have a case, and what casefold makes of one may be composed.
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", source).casefold())
    return " ".join(_WORD.findall(plain)) or "".join(plain.split())
