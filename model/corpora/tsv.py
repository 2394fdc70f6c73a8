"""Tab-separated pairs, one a line. Knows columns, not what stands in them."""

from collections.abc import Iterator
from pathlib import Path

from ...errors import ConfigurationError
from .lines import text_lines


def read_rows(path: Path) -> Iterator[list[str]]:
    """The columns of each line, at least two; raises `ConfigurationError` naming the file and line."""
    for number, line in enumerate(text_lines(path), 1):
        columns = line.split("\t")
        if len(columns) < 2:
            raise ConfigurationError(f"{path}, line {number}: no tab between source and target")
        yield columns


def read_tsv(path: Path, languages: tuple[str, str]) -> Iterator[tuple[str, str]]:  # noqa: ARG001
    """The first two columns, whatever the languages; further columns are ignored."""
    for columns in read_rows(path):
        yield columns[0], columns[1]
