"""`Translator`: texts in, translations out, on one device. What the worker and the command line use.

Knows checkpoint, tokenizer, network and search; knows nothing of jobs.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch

from ..errors import ConfigurationError
from .batching import BatchLimits, pack
from .checkpoint import Checkpoint, load_checkpoint
from .decoding import Hypothesis, Rows, SearchOptions, search
from .vocabularies.vocabulary import END, PAD

# The translation of a segment has at most this many times its pieces, and some for very short ones.
TARGET_PIECES_PER_SOURCE_PIECE = 2
TARGET_PIECES_FREE = 10


@dataclass(frozen=True, slots=True)
class Translation:
    """A segment's translation; pieces are counted without begin and end marks."""

    text: str
    score: float
    source_pieces: int
    target_pieces: int


class Translator:
    """One checkpoint loaded on one device. Not thread-safe: one thread translates."""

    def __init__(self, checkpoint: Checkpoint, device: torch.device) -> None:
        self.checkpoint = checkpoint
        self.device = device

    @classmethod
    def load(cls, folder: Path, device: str = "auto") -> Self:
        """Load a checkpoint folder; `device` is cpu, cuda:N or auto (CUDA where there is one)."""
        chosen = resolve_device(device)
        return cls(load_checkpoint(folder, chosen), chosen)

    @property
    def version(self) -> str:
        return self.checkpoint.version

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """The (source, target) language pairs that it translates."""
        return self.checkpoint.pairs

    @property
    def max_source_pieces(self) -> int:
        """Longest segment, in pieces; a longer one must be split, it is never cut."""
        positions: int = self.checkpoint.network.config.max_positions
        return (positions - TARGET_PIECES_FREE) // TARGET_PIECES_PER_SOURCE_PIECE - 1

    def encode(self, texts: Sequence[str], target: str | None = None) -> list[list[int]]:
        """Source pieces of each text, to be translated to `target`. Thread-safe.

        A model of several target languages puts the piece of `target` first; without one, the first it has.
        """
        vocabulary = self.checkpoint.vocabulary
        sources = vocabulary.encode(texts)
        if not vocabulary.languages:
            return sources
        first = vocabulary.language_piece(target or self.pairs[0][1])
        return [[first, *source] for source in sources]

    def translate_pieces(self, sources: Sequence[Sequence[int]], options: SearchOptions) -> list[Translation]:
        """Translate one padded batch of source pieces, as `encode` gives them, in the order given."""
        if not sources:
            return []
        rows = Rows(tuple(_target_limit(len(source)) for source in sources), self.device)
        network = self.checkpoint.network
        with torch.inference_mode():
            state = network.start(pad([[*source, END] for source in sources]).to(self.device))
            hypotheses = search(network.step, state, rows, options)
        return self._translations(sources, hypotheses)

    def translate(
        self,
        texts: Sequence[str],
        options: SearchOptions | None = None,
        limits: BatchLimits | None = None,
        target: str | None = None,
    ) -> list[Translation]:
        """Translate any number of texts in length-sorted batches; the order of the answers is that of the texts.

        Raises `ConfigurationError` for a text of more than `max_source_pieces`.
        """
        sources = self.encode(texts, target)
        self.check_lengths(sources)
        order = sorted(range(len(sources)), key=lambda i: len(sources[i]))
        lengths = [len(sources[i]) + 1 for i in order]
        results: list[tuple[int, Translation]] = []
        for run in pack(lengths, limits or BatchLimits(tokens=4096, rows=128)):
            batch = [order[place] for place in run]
            translations = self.translate_pieces([sources[i] for i in batch], options or SearchOptions())
            results += zip(batch, translations, strict=True)
        return [translation for _, translation in sorted(results, key=lambda result: result[0])]

    def check_lengths(self, sources: Sequence[Sequence[int]]) -> None:
        """Raise `ConfigurationError` for the first text of more than `max_source_pieces`."""
        for number, source in enumerate(sources, 1):
            if len(source) > self.max_source_pieces:
                raise ConfigurationError(
                    f"text {number} has {len(source)} pieces, the model takes {self.max_source_pieces}: "
                    "split it into sentences"
                )

    def _translations(self, sources: Sequence[Sequence[int]], hypotheses: Sequence[Hypothesis]) -> list[Translation]:
        texts = self.checkpoint.vocabulary.decode([hypothesis.pieces for hypothesis in hypotheses])
        return [
            Translation(text, hypothesis.score, len(source), len(hypothesis.pieces))
            for text, hypothesis, source in zip(texts, hypotheses, sources, strict=True)
        ]


def resolve_device(name: str) -> torch.device:
    """The device called cpu, cuda, cuda:N or auto; raises `ConfigurationError` if it is not there."""
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise ConfigurationError(f"{name!r} is no device: take cpu, cuda, cuda:N or auto")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigurationError(
            f"there is no device {name}: this machine has {torch.cuda.device_count()} CUDA devices; try cpu or auto"
        )
    return device


def pad(rows: Sequence[Sequence[int]]) -> torch.Tensor:
    """Rows of pieces -> (B, longest row), filled up with PAD."""
    longest = max(map(len, rows), default=0)
    return torch.tensor([[*row, *[PAD] * (longest - len(row))] for row in rows])


def _target_limit(source_pieces: int) -> int:
    return TARGET_PIECES_PER_SOURCE_PIECE * source_pieces + TARGET_PIECES_FREE
