"""What the engine benchmark compares: the network, our engines, and peers that are started when they are needed."""

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import torch
from dragoman.benchmarks._opus_shape import OPUS_BASE, TINY, random_checkpoint, write_marian, write_vmap
from dragoman.model.checkpoint import Checkpoint
from dragoman.model.engine.choosing import EngineName, Precision, choose_engine
from dragoman.model.engine.engine import Engine
from dragoman.model.engine.limits import EngineLimits
from dragoman.model.engine.peer_process import CTranslate2Settings, PeerSide
from dragoman.model.interchange.ctranslate2 import Quantization, export_ctranslate2
from dragoman.model.vocabularies.vocabulary import END

MARIAN = Path(__file__).parent / "peers" / "marian_generate.py"
SHORTLIST_PIECES = 2000


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asked for."""

    threads: int
    turns: int
    precision: Precision
    quick: bool
    student: Path


class Sides:
    """Makes each side once, and ends all of them with the block."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self._stack = ExitStack()
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @cached_property
    def checkpoint(self) -> Checkpoint:
        return random_checkpoint(TINY if self.options.quick else OPUS_BASE)

    @property
    def pieces(self) -> int:
        """The size of the vocabulary."""
        return len(self.checkpoint.vocabulary)

    def engine(self, rows: int, device: str = "cpu", wanted: tuple[EngineName, Precision] | None = None) -> Engine:
        """An engine of ours for a batch of so many rows; the caller closes it."""
        limits = EngineLimits(rows=rows, threads=self.options.threads)
        chosen = wanted or ("auto", self.options.precision)
        engine = choose_engine(self.checkpoint, torch.device(device), chosen, limits)
        assert engine is not None, "there is no engine but the reference: see the warning above"
        return engine

    def ctranslate2(self, precision: Quantization, shortlist: Sequence[int] = ()) -> PeerSide:
        """CTranslate2 on the CPU; with a shortlist it chooses among those pieces only."""
        folder = self.exported(precision, shortlist)
        return self._started(
            CTranslate2Settings(str(folder), "cpu", precision, self.options.threads, use_vmap=bool(shortlist))
        )

    def ctranslate2_on(
        self, device: str, precision: Quantization, batch_rows: int, shortlist: Sequence[int] = ()
    ) -> PeerSide:
        """CTranslate2 on a GPU, which cuts what it gets into batches of so many segments; see `ctranslate2`."""
        folder, threads = self.exported(precision, shortlist), self.options.threads
        return self._started(
            CTranslate2Settings(str(folder), device, precision, threads, batch_rows, use_vmap=bool(shortlist))
        )

    def marian(self, precision: str) -> PeerSide:
        """`transformers` in float32, or with 8-bit linear layers."""
        folder = self._folder / "marian"
        if not folder.exists():
            write_marian(self.checkpoint, folder)
        settings = {"folder": str(folder), "precision": precision, "threads": self.options.threads}
        return self._stack.enter_context(PeerSide(f"transformers {precision}", MARIAN, settings))

    def student(self, checkpoint: Checkpoint, batch_rows: int) -> PeerSide:
        """CTranslate2 with 8-bit weights of that checkpoint, one thread."""
        folder = self._folder / "student"
        if not folder.exists():
            export_ctranslate2(checkpoint, folder, "int8")
        return self._started(CTranslate2Settings(str(folder), "cpu", "int8", 1, batch_rows=batch_rows))

    def exported(self, precision: Quantization, shortlist: Sequence[int] = ()) -> Path:
        """The network as CTranslate2 reads it."""
        folder = self._folder / (f"{precision}-shortlist" if shortlist else precision)
        if not folder.exists():
            export_ctranslate2(self.checkpoint, folder, precision)
            if shortlist:
                write_vmap(self.checkpoint, folder, shortlist)
        return folder

    def _started(self, settings: CTranslate2Settings) -> PeerSide:
        return self._stack.enter_context(PeerSide.ctranslate2(settings))


def shortlist(pieces: int, count: int) -> list[int]:
    """END and other pieces of a vocabulary of so many, at equal distances, `count` together; none if that is 0."""
    if not count:
        return []
    first, count = END + 1, min(count, pieces // 2)
    return [END, *(first + place * (pieces - first) // (count - 1) for place in range(count - 1))]
