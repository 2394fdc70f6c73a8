"""Lines of a text file, plain or compressed, with every fault of the file as a sentence. Knows no format.

A file is UTF-8, with or without a byte order mark; `.gz` and `.xz` are read as they are.
"""

import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ...errors import ConfigurationError

# Bytes fetched at once from an archive: iterating lines of a larger buffer is several times faster than of the archive.
BUFFER_BYTES = 1 << 20


@contextmanager
def named_faults(path: Path) -> Iterator[None]:
    """Raise `ConfigurationError` naming `path` for whatever goes wrong while it is opened or unpacked."""
    try:
        yield
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise ConfigurationError(f"the corpus file {path} cannot be read: {error}") from error


@contextmanager
def open_bytes(path: Path) -> Iterator[BinaryIO]:
    """The unpacked bytes of a file."""
    with named_faults(path):
        if path.suffix == ".gz":
            with gzip.open(path, "rb") as archive, io.BufferedReader(archive, BUFFER_BYTES) as file:
                yield file
        elif path.suffix == ".xz":
            with lzma.open(path, "rb") as packed, io.BufferedReader(packed, BUFFER_BYTES) as file:
                yield file
        else:
            with path.open("rb", BUFFER_BYTES) as file:
                yield file


def text_lines(path: Path) -> Iterator[str]:
    """Every line without its ending; raises `ConfigurationError` naming the file and, if it is not UTF-8, the line."""
    number = 0
    try:
        with open_bytes(path) as file:
            for number, line in enumerate(file, 1):
                yield (line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line).decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}, line {number}: not UTF-8; convert the file first") from error


def read_lines(path: Path) -> Iterator[str]:
    """The segments of a monolingual file, one a line, white space at the ends cut off, empty ones left out."""
    for line in text_lines(path):
        if segment := line.strip():
            yield segment
