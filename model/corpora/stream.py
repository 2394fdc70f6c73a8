"""The pairs of many corpus files, epoch by epoch. Knows files and texts, no vocabulary and no tensors.

What an epoch gives depends on the files, rules, wanted pairs, seed and its number alone; one pair a file is in memory
at a time.
"""

import heapq
import itertools
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from ...errors import ConfigurationError
from .cleaning import CleaningRules
from .corpus_file import CorpusFile, LabelledPair
from .formats import read_pairs, reader_for
from .report import CorpusReport
from .survey import KeptRows, Survey, survey
from .weighting import phase_offset, times_taken

# Rows whose selection is worked out at once; a multiple of 8, since kept rows are stored eight a byte.
ROWS_AT_ONCE = 1 << 16


@dataclass(frozen=True, slots=True)
class _Pass:
    """One reading of a file within an epoch: the `size` rows that the epoch takes at least `copy` times."""

    place: int
    copy: int
    size: int


class PairStream:
    """Clean pairs of all files, weighted, mixed in proportion, and labelled for every wanted direction."""

    def __init__(
        self,
        files: Sequence[CorpusFile],
        pairs: Sequence[tuple[str, str]],
        rules: CleaningRules | None = None,
        seed: int = 1,
    ) -> None:
        """Raise `ConfigurationError` for a file of no known format or no use, or a pair that no file serves."""
        self.files = tuple(files)
        self.pairs = tuple(pairs)
        self.rules = rules or CleaningRules()
        self.seed = seed
        self._check()
        self._passes = lru_cache(maxsize=4)(self._count_passes)

    @cached_property
    def survey(self) -> Survey:
        """What one reading of all files found, done when first asked for.

        Raises `ConfigurationError` for a file that cannot be read, and if no pair is left.
        """
        found = survey(self.files, self.rules)
        if not found.report.kept:
            raise ConfigurationError(f"the corpus is empty after cleaning: {'; '.join(found.report.lines())}")
        return found

    @property
    def report(self) -> CorpusReport:
        """How many pairs were kept and dropped, and why."""
        return self.survey.report

    @property
    def fingerprint(self) -> str:
        """Changes with whatever would change an epoch: go on with a stopped run only if it is the same."""
        weights = " ".join(f"{file.languages} {file.weight} {file.direction}" for file in self.files)
        return f"{self.survey.fingerprint} {self.pairs} {weights} {self.seed}"

    @property
    def is_steady(self) -> bool:
        """Whether every epoch takes the same pairs in the same order: true if all weights are whole numbers."""
        return all(float(file.weight).is_integer() for file in self.files)

    def size(self, epoch: int) -> int:
        """How many pairs an epoch gives, without reading it."""
        return sum(one.size * self._directions(one.place) for one in self._passes(epoch))

    def epoch(self, number: int, start: int = 0) -> Generator[LabelledPair, None, None]:
        """The pairs of epoch `number`, counted from 0, without its first `start` pairs.

        Raises `ConfigurationError` if a file has changed since it was surveyed.
        """
        directions = [self._directions(place) for place in range(len(self.files))]
        for place, row in _merged([(one, self._rows(one, number)) for one in self._passes(number)]):
            if start >= directions[place]:
                start -= directions[place]
            else:
                yield from self._labelled(place, row)[start:]
                start = 0

    def _check(self) -> None:
        if not self.files:
            raise ConfigurationError("a corpus needs at least one file")
        for file in self.files:
            reader_for(file.path)
            if not any(file.serves(self.pairs)):
                wanted = ", ".join(map("-".join, self.pairs)) or "none"
                raise ConfigurationError(
                    f"{file.path} is {'-'.join(file.languages)}, which serves none of the wanted pairs: {wanted}"
                )
        for pair in self.pairs:
            if not any(any(file.serves([pair])) for file in self.files):
                raise ConfigurationError(f"no corpus file serves the pair {'-'.join(pair)}")

    def _labelled(self, place: int, row: tuple[str, str]) -> list[LabelledPair]:
        file = self.files[place]
        first, second = self.rules.tidy(row[0]), self.rules.tidy(row[1])
        forward, backward = file.serves(self.pairs)
        pairs = [LabelledPair(first, second, *file.languages)] if forward else []
        return [*pairs, LabelledPair(second, first, *file.languages[::-1])] if backward else pairs

    def _directions(self, place: int) -> int:
        return sum(self.files[place].serves(self.pairs))

    def _count_passes(self, epoch: int) -> tuple[_Pass, ...]:
        passes = []
        for place, kept in enumerate(self.survey.kept):
            for copy in range(1, int(np.ceil(self.files[place].weight)) + 1):
                size = sum(int(rows.sum()) for rows in self._selected(_Pass(place, copy, 0), kept, epoch))
                passes.append(_Pass(place, copy, size))
        return tuple(one for one in passes if one.size)

    def _rows(self, one: _Pass, epoch: int) -> Iterator[tuple[str, str]]:
        file, kept = self.files[one.place], self.survey.kept[one.place]
        selected = (rows.tolist() for rows in self._selected(one, kept, epoch))
        return itertools.compress(read_pairs(file.path, file.languages), itertools.chain.from_iterable(selected))

    def _selected(self, one: _Pass, kept: KeptRows, epoch: int) -> Iterator[NDArray[np.bool_]]:
        """For each row of a file, block by block, whether the pass takes it."""
        weight, offset, seen = self.files[one.place].weight, phase_offset(self.seed, one.place), 0
        for start in range(0, kept.rows, ROWS_AT_ONCE):
            stop = min(start + ROWS_AT_ONCE, kept.rows)
            rows = np.unpackbits(kept.bits[start // 8 : (stop + 7) // 8], count=stop - start).astype(np.bool_)
            count = int(rows.sum())
            rows[rows] = times_taken(seen, seen + count, weight, epoch, offset) >= one.copy
            seen += count
            yield rows


def _merged(passes: Sequence[tuple[_Pass, Iterator[tuple[str, str]]]]) -> Iterator[tuple[int, tuple[str, str]]]:
    """Rows of all passes, each as evenly spread over the whole as its size allows, with the place of their file."""
    due = [(0.5 / one.size, number, 0) for number, (one, _) in enumerate(passes)]
    heapq.heapify(due)
    while due:
        _, number, taken = due[0]
        one, rows = passes[number]
        row = next(rows, None)
        if row is None:
            raise ConfigurationError(
                f"corpus file {one.place + 1} has become shorter since it was surveyed; start anew"
            )
        yield one.place, row
        if taken + 1 < one.size:
            heapq.heapreplace(due, ((taken + 1.5) / one.size, number, taken + 1))
        else:
            heapq.heappop(due)
