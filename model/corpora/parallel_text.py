"""Two plain text files, line N of one the translation of line N of the other: `corpus.{}.gz` for en and fr."""

import itertools
from collections.abc import Iterator
from pathlib import Path

from ...errors import ConfigurationError
from .lines import text_lines

LANGUAGE = "{}"


def read_parallel_text(path: Path, languages: tuple[str, str]) -> Iterator[tuple[str, str]]:
    """Lines of both files side by side; `path` has `{}` where the language goes.

    Raises `ConfigurationError` with both counts if one file ends before the other.
    """
    files = [Path(str(path).replace(LANGUAGE, language)) for language in languages]
    counts = [0, 0]
    for source, target in itertools.zip_longest(*map(text_lines, files)):
        counts[0] += source is not None
        counts[1] += target is not None
        if counts[0] == counts[1]:
            yield source, target
    if counts[0] != counts[1]:
        raise ConfigurationError(
            f"{files[0]} has {counts[0]} lines and {files[1]} has {counts[1]}: they are not aligned line by line"
        )
