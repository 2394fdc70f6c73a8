"""A file that is there whole or not at all, and its SHA-256. Knows nothing of what is in it."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from ..errors import ConfigurationError, DragomanError


class HashedFile:
    """A file that knows the sum of what was written to it; enough of a file for pyarrow."""

    closed = False

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._sum = hashlib.sha256()
        self.size_bytes = 0

    @property
    def sha256(self) -> str:
        """Of all that was written so far, in hexadecimal digits."""
        return self._sum.hexdigest()

    def write(self, content: bytes) -> int:
        """Write and add up."""
        self._file.write(content)
        self._sum.update(content)
        self.size_bytes += len(content)
        return len(content)

    def tell(self) -> int:
        """How many bytes were written."""
        return self.size_bytes

    def flush(self) -> None:
        """Hand on what is buffered."""
        self._file.flush()

    def close(self) -> None:
        """Do nothing: whoever opened the file closes it."""


def refuse_existing(path: Path) -> None:
    """Raise `ConfigurationError` if something is at `path`, or if no file can be made there."""
    if path.exists() or path.is_symlink():
        raise ConfigurationError(f"{path} is there already: choose another name, or replace it with --force")
    if not path.parent.is_dir():
        raise ConfigurationError(f"the folder {path.parent} is not there: make it first")


@contextmanager
def new_file(path: Path) -> Iterator[HashedFile]:
    """A file beside `path`, readable by its owner alone, that takes its name at the end; on an error it goes.

    Raises `DragomanError` when the disk refuses; what stood at `path` then stands there still.
    """
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-", delete=False) as file:
            try:
                yield HashedFile(file.file)
                file.flush()
                os.fsync(file.fileno())
                os.replace(file.name, path)
            except BaseException:
                os.unlink(file.name)
                raise
        with suppress(OSError):  # the file is safe already; some file systems refuse this for a folder
            _flush_folder(path.parent)
    except OSError as error:
        raise DragomanError(
            f"{path} could not be written ({error.strerror or error}): nothing of it is left"
        ) from error


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
