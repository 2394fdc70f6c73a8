"""Test sets: sources, each with one or more references. Knows files and columns, nothing of scores."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import ConfigurationError
from ..corpora.tsv import read_rows

REFERENCE_SEPARATOR = " ||| "
# "dev.en-fr.tsv.gz", "val.en-de-fr.tsv": the languages of the columns, in order.
NAMED_LANGUAGES = re.compile(
    r"(?:^(?P<whole>[a-z]{2}(?:-[a-z]{2})+)|\.(?P<part>[a-z]{2,3}(?:-[a-z]{2,3})+))\.(?:tsv|txt)"
)


@dataclass(frozen=True, slots=True)
class TestSet:
    """Sources, each with one or more references."""

    sources: tuple[str, ...]
    references: tuple[tuple[str, ...], ...]

    def reversed(self) -> "TestSet":
        """The other direction: the first reference of each segment becomes its source."""
        return TestSet(tuple(row[0] for row in self.references), tuple((source,) for source in self.sources))

    def sample(self, segments: int, seed: int) -> "TestSet":
        """At most `segments` of them, drawn at random but the same for the same seed, in their order."""
        if segments >= len(self.sources):
            return self
        chosen = sorted(random.Random(seed).sample(range(len(self.sources)), segments))
        return TestSet(tuple(self.sources[i] for i in chosen), tuple(self.references[i] for i in chosen))


def read_test_set(path: Path, columns: tuple[int, int] = (0, 1)) -> TestSet:
    """Read source and target from `columns`, counted from 0.

    If these are the first two and some line of the third holds ` ||| `, the third holds further references parted
    by it; else (document names, segment numbers) it is left alone. Raises `ConfigurationError` for a file that is
    empty or not a test set, naming the line.
    """
    rows = list(read_rows(path))
    if not rows:
        raise ConfigurationError(f"the test set {path} is empty: nothing can be measured on it")
    _check(path, rows, columns)
    source, target = columns
    more = _further_references(rows) if columns == (0, 1) else [()] * len(rows)
    references = tuple((row[target], *others) for row, others in zip(rows, more, strict=True))
    return TestSet(tuple(row[source] for row in rows), references)


def read_direction(path: Path, source: str, target: str) -> TestSet:
    """Read the test set from language `source` to `target`, in whichever order the file has them.

    The languages of the columns are taken from the file's name (`dev.en-fr.tsv.gz`); without them there, the first
    column is the source. Raises `ConfigurationError` if the name tells of other languages.
    """
    languages = named_languages(path)
    if not languages:
        return read_test_set(path)
    if source not in languages or target not in languages:
        raise ConfigurationError(
            f"the columns of {path} are {', '.join(languages)} by its name: it cannot test {source}-{target}"
        )
    return read_test_set(path, (languages.index(source), languages.index(target)))


def named_languages(path: Path) -> tuple[str, ...]:
    """The languages that the name of a file gives to its columns; none if it does not say."""
    found = NAMED_LANGUAGES.search(path.name)
    return tuple((found["whole"] or found["part"]).split("-")) if found else ()


def _check(path: Path, rows: Sequence[Sequence[str]], columns: tuple[int, int]) -> None:
    for number, row in enumerate(rows, 1):
        for column, what in zip(columns, ("source", "reference"), strict=True):
            if column >= len(row) or not row[column].strip():
                raise ConfigurationError(f"{path}, line {number}: there is no {what} in column {column + 1}")


def _further_references(rows: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    cells = [row[2] if len(row) > 2 else "" for row in rows]
    if not any(REFERENCE_SEPARATOR in cell for cell in cells):
        return [()] * len(rows)
    return [[one for one in cell.split(REFERENCE_SEPARATOR) if one.strip()] for cell in cells]
