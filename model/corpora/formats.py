"""Which reader reads which file: the one table of formats. Knows file names, not what stands in the files."""

from collections.abc import Callable, Iterator
from pathlib import Path

from ...errors import ConfigurationError
from .jsonl import read_jsonl
from .parallel_text import LANGUAGE, read_parallel_text
from .parquet import read_parquet
from .tmx import read_tmx
from .tsv import read_tsv

# Gives (text in the first language, text in the second), in the order of the file; every fault a ConfigurationError.
Reader = Callable[[Path, tuple[str, str]], Iterator[tuple[str, str]]]

# By the end of the file name. A new format is one line here.
READERS: dict[str, Reader] = {
    ".tsv": read_tsv,
    ".tsv.gz": read_tsv,
    ".tsv.xz": read_tsv,
    ".tmx": read_tmx,
    ".tmx.gz": read_tmx,
    ".tmx.xz": read_tmx,
    ".jsonl": read_jsonl,
    ".jsonl.gz": read_jsonl,
    ".jsonl.xz": read_jsonl,
    ".parquet": read_parquet,
}


def read_pairs(path: Path, languages: tuple[str, str]) -> Iterator[tuple[str, str]]:
    """All pairs of a corpus file, as they stand there; raises `ConfigurationError` for a name of no known format."""
    return reader_for(path)(path, languages)


def reader_for(path: Path) -> Reader:
    """The reader of a file, by its name."""
    if LANGUAGE in path.name:
        return read_parallel_text
    for ending, reader in READERS.items():
        if path.name.lower().endswith(ending):
            return reader
    raise ConfigurationError(
        f"the corpus file {path} is of no known format: its name must end in {', '.join(READERS)}, "
        f"or have {LANGUAGE} where the language of two plain text files stands"
    )
