"""`Translator`: texts in, translations out, on one device. What the worker and the command line use.

Knows checkpoint, tokenizer, network and search; knows nothing of jobs.
"""

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import torch

from ..errors import ConfigurationError
from .arithmetic import ROW_MULTIPLE, source_length
from .batching import BatchLimits, pack
from .checkpoint import Checkpoint, load_checkpoint
from .decoding import Hypothesis, Rows, SearchOptions, search
from .vocabularies.vocabulary import END, PAD, UNKNOWN

# The translation of a segment has at most this many times its pieces, and some for very short ones.
TARGET_PIECES_PER_SOURCE_PIECE = 2
TARGET_PIECES_FREE = 10


@dataclass(frozen=True, slots=True)
class Translation:
    """A segment's translation; pieces are counted without begin and end marks.

    `piece_scores` are the log-probabilities of the target pieces and of END. `alignment` and `attention`, if the
    options ask for them, say for each target piece at which source piece it looked most, and how much at each; source
    pieces are those of `Translator.encode` and END, which is the last. `alternatives` are the other hypotheses of an
    n-best search, best first.
    """

    text: str
    score: float
    source_pieces: int
    target_pieces: int
    piece_scores: tuple[float, ...] = ()
    alignment: tuple[int, ...] = ()
    attention: tuple[tuple[float, ...], ...] = ()
    alternatives: tuple["Translation", ...] = ()


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

    def require_pair(self, source: str, target: str) -> None:
        """Raise `ConfigurationError`, naming the pairs there are, if it does not translate this one."""
        if (source, target) not in self.pairs:
            known = ", ".join(f"{source}-{target}" for source, target in self.pairs)
            raise ConfigurationError(f"the model {self.version} does not translate {source}-{target}, only {known}")

    def with_prefix(self, options: SearchOptions, text: str) -> SearchOptions:
        """The options under which every translation begins with `text`; the last word may go on.

        Raises `ConfigurationError` for a text that the vocabulary cannot spell.
        """
        [pieces] = self.checkpoint.vocabulary.encode_target([text]) if text else [[]]
        if UNKNOWN in pieces:
            raise ConfigurationError(f"the model {self.version} has no pieces for the prefix {text!r}: take another")
        return replace(options, prefix=tuple(pieces))

    def translate_pieces(self, sources: Sequence[Sequence[int]], options: SearchOptions) -> list[Translation]:
        """Translate one padded batch of source pieces, as `encode` gives them, in the order given.

        Bit for bit the same in any batch (see `arithmetic`). Raises `ConfigurationError` for a `max_pieces` or a
        prefix beyond what the network takes.
        """
        if not sources:
            return []
        seeds = tuple(_seed(source) for source in sources)
        rows = Rows(self._limits(sources, options), self.device, seeds=seeds, multiple=ROW_MULTIPLE)
        network = self.checkpoint.network
        with torch.inference_mode():
            state = network.start(self._padded(sources))
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

    def _limits(self, sources: Sequence[Sequence[int]], options: SearchOptions) -> tuple[int, ...]:
        """The longest translation of each source, in pieces; BEGIN takes one position more."""
        most = self.checkpoint.network.config.max_positions - 1
        if max(options.max_pieces or 0, len(options.prefix)) > most:
            raise ConfigurationError(f"the model gives at most {most} pieces: lower the maximum, or shorten the prefix")
        if options.max_pieces is not None:
            return (options.max_pieces,) * len(sources)
        return tuple(min(_target_limit(len(source)) + len(options.prefix), most) for source in sources)

    def _padded(self, sources: Sequence[Sequence[int]]) -> torch.Tensor:
        """The sources with END and the dummy rows and the padding that `arithmetic` asks for: (B, S)."""
        length = min(source_length(max(map(len, sources)) + 1), self.checkpoint.network.config.max_positions)
        spare = [[END]] * (-len(sources) % ROW_MULTIPLE)
        return pad([*([*source, END] for source in sources), *spare], length).to(self.device)

    def _translations(
        self, sources: Sequence[Sequence[int]], found: Sequence[Sequence[Hypothesis]]
    ) -> list[Translation]:
        texts = iter(self.checkpoint.vocabulary.decode([one.pieces for hypotheses in found for one in hypotheses]))
        translations = []
        for source, hypotheses in zip(sources, found, strict=True):
            best, *others = [_translation(len(source), next(texts), one) for one in hypotheses]
            translations.append(replace(best, alternatives=tuple(others)))
        return translations


def _translation(source_pieces: int, text: str, hypothesis: Hypothesis) -> Translation:
    return Translation(
        text,
        hypothesis.score,
        source_pieces,
        len(hypothesis.pieces),
        hypothesis.piece_scores,
        hypothesis.alignment,
        tuple(row[: source_pieces + 1] for row in hypothesis.attention),
    )


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


def pad(rows: Sequence[Sequence[int]], length: int = 0) -> torch.Tensor:
    """Rows of pieces -> (B, longest row, or `length` if that is more), filled up with PAD."""
    length = max(length, *map(len, rows)) if rows else length
    return torch.tensor([[*row, *[PAD] * (length - len(row))] for row in rows])


def _seed(source: Sequence[int]) -> int:
    """What tells a segment from others when it is sampled."""
    return zlib.crc32(",".join(map(str, source)).encode())


def _target_limit(source_pieces: int) -> int:
    return TARGET_PIECES_PER_SOURCE_PIECE * source_pieces + TARGET_PIECES_FREE
