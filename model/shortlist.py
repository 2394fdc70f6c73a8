"""Which target pieces a translation may be made of: a lexical shortlist. Knows numbers of pieces, no text and no file.

The output layer is a large part of the work of a small network, and most of its pieces cannot occur in the translation
of a given source. A shortlist takes, for each source piece, the target pieces that it became most likely in a corpus,
and the most frequent ones of all (Jean et al. 2015, arXiv:1412.2007; L'Hostis et al. 2016, arXiv:1610.00072).
Letters: S source pieces, V target pieces.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigurationError
from .vocabularies.vocabulary import END

Numbers = NDArray[np.int32]


class Shortlist:
    """The likeliest target pieces of each source piece, and those that may always come; never changed once made."""

    def __init__(self, starts: Numbers, pieces: Numbers, frequent: Numbers) -> None:
        """Take `pieces[starts[s] : starts[s + 1]]` for source piece s, starts (S + 1,); `frequent` ascends and has END.

        Raises `ConfigurationError` if that does not hold.
        """
        self.starts, self.pieces, self.frequent = starts, pieces, frequent
        self._check()
        # Slicing by Python's own integers takes a third of the time.
        self._bounds: list[int] = starts.tolist()

    def candidates(self, source: Sequence[int], prefix: Sequence[int] = ()) -> Numbers:
        """The pieces that a translation of `source`, with END or without, may be made of: ascending, each once.

        END is among them, and so are the pieces of `prefix`; else no mark is. They depend on nothing else.
        """
        bounds, pieces = self._bounds, self.pieces
        rows = [pieces[bounds[piece] : bounds[piece + 1]] for piece in source]
        if prefix:
            rows.append(np.array(prefix, np.int32))
        together = np.concatenate([self.frequent, *rows])
        together.sort()
        # `np.unique` does the same in five times the time.
        is_first = np.empty(len(together), np.bool_)
        is_first[0] = True
        np.not_equal(together[1:], together[:-1], out=is_first[1:])
        return together[is_first]

    def check_fit(self, source_size: int, target_size: int) -> None:
        """Raise `ConfigurationError` if it is not for a vocabulary of so many source and target pieces."""
        if len(self.starts) != source_size + 1:
            raise ConfigurationError(f"it is for {len(self.starts) - 1} source pieces, not {source_size}")
        largest = max(int(part.max(initial=END)) for part in (self.pieces, self.frequent))
        if largest >= target_size:
            raise ConfigurationError(f"it names the target piece {largest}, the vocabulary has {target_size}")

    def _check(self) -> None:
        starts, frequent = self.starts, self.frequent
        if any(part.dtype != np.int32 or part.ndim != 1 for part in (starts, self.pieces, frequent)):
            raise ConfigurationError("starts, pieces and frequent must be rows of 32-bit integers")
        if not len(starts) or starts[0] != 0 or starts[-1] != len(self.pieces) or (np.diff(starts) < 0).any():
            raise ConfigurationError(f"its rows do not part {len(self.pieces)} pieces")
        if not len(frequent) or frequent[0] != END or (np.diff(frequent) <= 0).any():
            raise ConfigurationError("its frequent pieces must ascend from END on")
        if self.pieces.min(initial=END + 1) <= END:
            raise ConfigurationError("a mark is no translation of a piece")
