"""Reads parallel text. Knows files and cleaning rules, nothing of tensors.

A corpus file is UTF-8, one pair a line, columns parted by a tab: source, target; further columns are ignored.
`.gz` and `.xz` are read as they are.
"""

import gzip
import lzma
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from ...errors import ConfigurationError

# A pair whose one side has this many times the characters of the other is hardly a translation.
MAX_LENGTH_RATIO = 3.0
# ... unless both are short: "Go!" has few letters in any language.
RATIO_FREE_CHARACTERS = 30


@dataclass(frozen=True, slots=True)
class Pair:
    source: str
    target: str


@dataclass(slots=True)
class CorpusReport:
    """How many pairs were kept, and how many were dropped for which reason."""

    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        dropped = ", ".join(f"{count} {reason}" for reason, count in sorted(self.dropped.items()))
        return f"{self.kept} pairs kept; dropped: {dropped or 'none'}"


def read_corpus(paths: list[Path], report: CorpusReport, max_characters: int) -> Iterator[Pair]:
    """Clean pairs of all files, duplicates dropped; `report` counts as the pairs go by."""
    seen: set[tuple[str, str]] = set()
    for path in paths:
        for pair in read_pairs(path):
            reason = fault(pair, max_characters) or ("duplicate" if (pair.source, pair.target) in seen else None)
            if reason:
                report.dropped[reason] += 1
                continue
            seen.add((pair.source, pair.target))
            report.kept += 1
            yield pair


def fault(pair: Pair, max_characters: int) -> str | None:
    """Why a pair is not fit for training, or None."""
    lengths = len(pair.source), len(pair.target)
    if min(lengths) == 0:
        return "empty"
    if max(lengths) > max_characters:
        return "too long"
    if max(lengths) > RATIO_FREE_CHARACTERS and max(lengths) > MAX_LENGTH_RATIO * min(lengths):
        return "length ratio"
    return None


def read_pairs(path: Path) -> Iterator[Pair]:
    """All pairs of one file, white space at the ends cut off."""
    for columns in read_rows(path):
        yield Pair(columns[0].strip(), columns[1].strip())


def read_rows(path: Path) -> Iterator[list[str]]:
    """The columns of each line, at least two; raises `ConfigurationError` naming the file and line."""
    number = 0
    try:
        with _open(path) as lines:
            for number, line in enumerate(lines, 1):
                columns = line.rstrip("\n").split("\t")
                if len(columns) < 2:
                    raise ConfigurationError(f"{path}, line {number}: no tab between source and target")
                yield columns
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}, after line {number}: not UTF-8; convert the file first") from error
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise ConfigurationError(f"the corpus file {path} cannot be read: {error}") from error


def _open(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8")
    if path.suffix == ".xz":
        return lzma.open(path, "rt", encoding="utf-8")
    return path.open(encoding="utf-8")
