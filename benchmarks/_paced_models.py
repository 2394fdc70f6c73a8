"""Models for the benchmarks of the worker, named to it as `dragoman.benchmarks._paced_models:NAME`."""

import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from dragoman.model.decoding import SearchOptions
from dragoman.model.translation import Translation
from dragoman.tests.faults.entry import Temper, misbehaving
from dragoman.worker.devices.echo import EchoTranslator

# Names the file that `CountingEcho` writes to.
VARIABLE = "DRAGOMAN_BENCH_PIECES"
COUNT = struct.Struct("<q")
PACED_ROWS_PER_SECOND = 500.0


def named(model: "type[EchoTranslator]") -> list[str]:
    """The arguments that make a worker serve it."""
    return ["--model", f"{model.__module__}:{model.__name__}"]


class ChokingEcho(EchoTranslator):
    """Fails on texts that hold a word of `dragoman.tests.faults.entry.Poison`, as the fault suite's model does."""

    version = "choking@0"
    translate_pieces = misbehaving(Temper(seconds_per_row=0.0))


class PacedEcho(EchoTranslator):
    """Takes its time: `PACED_ROWS_PER_SECOND`."""

    version = "paced@0"
    translate_pieces = misbehaving(Temper(seconds_per_row=1.0 / PACED_ROWS_PER_SECOND))


class CountingEcho(EchoTranslator):
    """Writes down how many pieces it has translated, where its own end does not take it away."""

    version = "counting@0"

    def __init__(self) -> None:
        self._file = os.open(os.environ[VARIABLE], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def translate_pieces(self, sources: Sequence[Sequence[int]], options: SearchOptions) -> list[Translation]:
        """The same texts."""
        translations = super().translate_pieces(sources, options)
        os.write(self._file, COUNT.pack(sum(map(len, sources))))
        return translations


class PieceCount:
    """What the counting models of this run have translated, in all their lives."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def pieces(self) -> int:
        return sum(count for (count,) in COUNT.iter_unpack(self._path.read_bytes()))


@contextmanager
def counted() -> Iterator[PieceCount]:
    """Workers that are started inside count into one file."""
    with TemporaryDirectory(prefix="dragoman-bench-") as folder:
        path = Path(folder) / "pieces"
        path.touch()
        os.environ[VARIABLE] = str(path)
        try:
            yield PieceCount(path)
        finally:
            del os.environ[VARIABLE]
