"""A long job's results on disk, chunk by chunk, so that it can stop anywhere and go on. Knows rows, no models.

    manifest.json    what the job is, and every finished chunk with its size, hash and counts
    00000.tsv.gz ... the rows of each chunk, until they are joined to one file

A chunk is there as a whole or not at all; whatever the manifest does not name was never there.
"""

import gzip
import hashlib
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from ...errors import ConfigurationError
from ..replacement import replacing_file

MANIFEST = "manifest.json"
# What would end a cell or a row of a TSV file.
BREAKS = re.compile(r"[\t\r\n]+")


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that is known to be whole, and what was counted while it was written."""

    bytes: int
    sha256: str
    counts: dict[str, int] = field(default_factory=dict)


class ChunkFolder:
    """The finished chunks of one job; `identity` says which job, and a folder of another one is refused."""

    def __init__(self, folder: Path, identity: Mapping[str, str], chunk_segments: int) -> None:
        """Open `folder` or make it; a job that goes on keeps the chunk size that it began with.

        Raises `ConfigurationError` if it holds another job, naming what differs, or cannot be read or written.
        """
        self._folder = folder
        self._identity = dict(identity)
        self._chunks: dict[int, StoredFile] = {}
        self._joined: StoredFile | None = None
        self.chunk_segments = chunk_segments
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if (folder / MANIFEST).is_file():
                self._restore(json.loads((folder / MANIFEST).read_text(encoding="utf-8")))
            else:
                self._save()
        except OSError as error:
            raise ConfigurationError(f"{folder} cannot be used: {error}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigurationError(f"{folder / MANIFEST} is damaged: remove {folder} and start anew") from error

    @property
    def counts(self) -> Counter[str]:
        """What was counted in all chunks."""
        return sum((Counter(chunk.counts) for chunk in self._chunks.values()), Counter())

    def has(self, number: int) -> bool:
        """Whether a chunk is finished and whole; one that was damaged counts as not there."""
        if self._joined:
            return number in self._chunks
        return number in self._chunks and _is_whole(self._path(number), self._chunks[number])

    def add(self, number: int, rows: Iterable[Sequence[str]], counts: Mapping[str, int]) -> None:
        """Keep the rows of a chunk; raises `ConfigurationError` when the disk refuses, and earlier chunks stay."""
        content = "".join("\t".join(BREAKS.sub(" ", cell) for cell in row) + "\n" for row in rows)
        with _disk_faults(self._path(number)):
            self._chunks[number] = _written(self._path(number), _packed(content), counts)
            self._save()

    def join(self, output: Path) -> None:
        """Make one file of all chunks, in order, and remove them; a second time does nothing."""
        if self.is_joined(output):
            return
        paths = [self._path(number) for number in sorted(self._chunks)]

        def copy(target: BinaryIO) -> None:
            # Members of a gzip file may follow each other: nothing has to be packed again.
            for path in paths:
                with path.open("rb") as source:
                    shutil.copyfileobj(source, target)

        with _disk_faults(output):
            self._joined = _written(output, copy, self.counts)
            self._save()
            for path in paths:
                path.unlink()

    def is_joined(self, output: Path) -> bool:
        """Whether `output` is the whole of this job; if it was lost after that, the chunks have to be made again."""
        if self._joined and not _is_whole(output, self._joined):
            self._joined, self._chunks = None, {}
        return self._joined is not None

    def remove(self) -> None:
        """Forget the job: its result needs it no more."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:05d}.tsv.gz"

    def _restore(self, manifest: Mapping[str, Any]) -> None:
        found: dict[str, str] = manifest["identity"]
        names = [name for name in {**self._identity, **found} if self._identity.get(name) != found.get(name)]
        if names:
            differences = "; ".join(f"{name} was {found.get(name)}, is {self._identity.get(name)}" for name in names)
            raise ConfigurationError(
                f"{self._folder} holds the chunks of another job ({differences}): finish that one, or remove the folder"
            )
        self.chunk_segments = int(manifest["chunk_segments"])
        self._chunks = {int(number): StoredFile(**chunk) for number, chunk in manifest["chunks"].items()}
        self._joined = StoredFile(**manifest["joined"]) if manifest["joined"] else None

    def _save(self) -> None:
        manifest = {
            "identity": self._identity,
            "chunk_segments": self.chunk_segments,
            "chunks": {str(number): asdict(chunk) for number, chunk in sorted(self._chunks.items())},
            "joined": asdict(self._joined) if self._joined else None,
        }
        text = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
        _written(self._folder / MANIFEST, lambda file: _write_all(file, text.encode()), {})


@contextmanager
def _disk_faults(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be written: {error}; what was finished before is kept, run the same command again"
        ) from error


def _packed(text: str) -> Callable[[BinaryIO], None]:
    # Without a time stamp, so that the same rows make the same file.
    packed = gzip.compress(text.encode(), mtime=0)
    return lambda file: _write_all(file, packed)


def _write_all(file: BinaryIO, content: bytes) -> None:
    file.write(content)


def _written(path: Path, write: Callable[[BinaryIO], None], counts: Mapping[str, int]) -> StoredFile:
    """Write a file as a whole or not at all."""
    with replacing_file(path) as fresh, fresh.open("wb") as file:
        write(file)
    return StoredFile(path.stat().st_size, _sha256(path), dict(counts))


def _is_whole(path: Path, stored: StoredFile) -> bool:
    return path.is_file() and path.stat().st_size == stored.bytes and _sha256(path) == stored.sha256


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
