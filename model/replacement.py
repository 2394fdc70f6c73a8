"""Puts a freshly written folder or file in the place of another, as a whole or not at all. Knows not what is in it."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(folder: Path, aside: Path) -> Iterator[Path]:
    """A fresh folder to write into that takes the place of `folder` at the end; on an error it goes without a trace.

    What stood there moves to `aside` for a moment; a crash in that moment leaves it there. Raises OSError when the disk
    refuses; what stood at `folder` then stands there still.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield fresh
        fresh.chmod(0o755)
        for path in fresh.iterdir():
            flush(path)
        _swap(fresh, folder, aside)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


@contextmanager
def replacing_file(path: Path) -> Iterator[Path]:
    """A file to write that takes the place of `path` at the end; on an error it goes without a trace.

    Raises OSError when the disk refuses; what stood at `path` then stands there still.
    """
    fresh = path.with_name(f".{path.name}-fresh")
    try:
        yield fresh
        # Some file systems say only now that they are full.
        flush(fresh)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def _swap(fresh: Path, folder: Path, aside: Path) -> None:
    if folder.exists():
        shutil.rmtree(aside, ignore_errors=True)
        try:
            folder.rename(aside)
            fresh.rename(folder)
        finally:
            if not folder.exists():
                aside.rename(folder)
    else:
        fresh.rename(folder)
    # The files are safe already; some file systems refuse this for a folder.
    with suppress(OSError):
        flush(folder.parent)
    shutil.rmtree(aside, ignore_errors=True)


def flush(path: Path) -> None:
    """Have the disk take what is in a file, or which files are in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
