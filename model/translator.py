"""`Translator`: texts in, translations out, on one device. What the worker and the command line use.

Knows checkpoint, tokenizer, network and search; knows nothing of jobs.
"""

import re
import threading
import weakref
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import torch

from ..errors import ConfigurationError
from .architectures.network import Network
from .arithmetic import ROW_MULTIPLE, source_length
from .batching import BatchLimits, pack, padding_ratio
from .checkpoint import Checkpoint, load_checkpoint
from .decoding import Hypothesis, Rows, SearchOptions, search
from .engine.choosing import EngineName, Precision, choose_engine
from .engine.engine import Engine
from .engine.limits import EngineLimits
from .engine.occupancy import Occupancy
from .engine.request import Request
from .engine.static_engine import StaticEngine
from .source_side import TARGET_PIECES_FREE, TARGET_PIECES_PER_SOURCE_PIECE, encode_sources, longest_source
from .translation import Translation as Translation
from .vocabularies.vocabulary import END, PAD, UNKNOWN, Vocabulary

# Batches of the reference.
STATIC_LIMITS = BatchLimits(tokens=4096, rows=128)


class Translator:
    """One checkpoint loaded on one device, with the engine that runs it.

    Thread-safe where it has an engine; without one (the reference: plain PyTorch) one thread translates. An engine runs
    until `close`, or until nobody holds the translator any more.
    """

    def __init__(self, checkpoint: Checkpoint, device: torch.device, engine: Engine | None = None) -> None:
        self.checkpoint = checkpoint
        self.device = device
        self.engine = engine
        self._folder: Path | None = None
        self._static: StaticEngine | None = None
        self._lock = threading.RLock()
        self._closing = [weakref.finalize(self, engine.close)] if engine else []

    @classmethod
    def load(
        cls,
        folder: Path,
        device: str = "auto",
        engine: EngineName = "auto",
        precision: Precision = "auto",
        limits: EngineLimits | None = None,
    ) -> Self:
        """Load a checkpoint folder; `device` is cpu, cuda:N or auto (CUDA where there is one).

        `engine` is native (C on the CPU), torch (CUDA), ctranslate2, reference, or auto; see `engine.choosing`.
        """
        chosen = resolve_device(device)
        checkpoint = load_checkpoint(folder, chosen)
        translator = cls(
            checkpoint, chosen, choose_engine(checkpoint, chosen, (engine, precision), limits or EngineLimits())
        )
        if translator.engine is not None and translator.engine.has_own_weights:
            # The reference, if it is ever asked, reads the file again.
            checkpoint.network.to("meta")
            translator._folder = folder
        return translator

    def close(self) -> None:
        """Stop the engine; what waits for it fails."""
        for finalizer in self._closing:
            finalizer()

    @property
    def version(self) -> str:
        return self.checkpoint.version

    @property
    def engine_name(self) -> str:
        """The engine and its arithmetic, such as "native int8"."""
        return StaticEngine.name if self.engine is None else self.engine.name

    @property
    def is_closed(self) -> bool:
        """Whether it translates no more: it was closed, or an error of the device has ended its engine."""
        return self.engine is not None and self.engine.is_closed

    @property
    def occupancy(self) -> Occupancy | None:
        """How full the running batch has been, where there is one."""
        return None if self.engine is None else self.engine.counted_occupancy

    @property
    def pads(self) -> bool:
        """Whether sources are filled up to a common length."""
        return self.engine is None or self.engine.pads

    @property
    def rows(self) -> int:
        """Rows of the running batch: segments, times their beam size; 0 where there is none."""
        return 0 if self.engine is None else self.engine.rows

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """The (source, target) language pairs that it translates."""
        return self.checkpoint.pairs

    @property
    def max_source_pieces(self) -> int:
        """Longest segment, in pieces; a longer one must be split, it is never cut."""
        return longest_source(self.checkpoint.network.config.max_positions)

    def encode(self, texts: Sequence[str], target: str | None = None) -> list[list[int]]:
        """Source pieces of each text, to be translated to `target`. Thread-safe.

        A model of several target languages puts the piece of `target` first; without one, the first it has.
        """
        return encode_sources(self.checkpoint.vocabulary, texts, target or self.pairs[0][1])

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

    def submit(
        self, texts: Sequence[str], options: SearchOptions | None = None, target: str | None = None, priority: int = 0
    ) -> list[Future[Translation]]:
        """Let the texts be translated together with whatever else is; returns a future for each, at once.

        A lower `priority` comes first. Blocks only while too many segments wait (`EngineLimits.waiting`). A future may
        be cancelled until it is done. Raises `ConfigurationError` for a text of more than `max_source_pieces`.
        """
        sources = self.encode(texts, target)
        self.check_lengths(sources)
        return self.submit_pieces(sources, options or SearchOptions(), priority)

    def submit_pieces(
        self, sources: Sequence[Sequence[int]], options: SearchOptions, priority: int = 0
    ) -> list[Future[Translation]]:
        """As `submit`, of source pieces as `encode` gives them."""
        requests = self._requests(sources, options, priority)
        engine = self._running_engine(options) or self._static_engine()
        engine.submit(requests)
        return [request.future for request in requests]

    def translate_pieces(self, sources: Sequence[Sequence[int]], options: SearchOptions) -> list[Translation]:
        """Translate source pieces, as `encode` gives them, in the order given.

        Bit for bit the same whatever else is translated (see `arithmetic`). Raises `ConfigurationError` for a
        `max_pieces` or a prefix beyond what the network takes.
        """
        if not sources:
            return []
        if self._running_engine(options) is None:
            requests = self._requests(sources, options, 0)
            with self._lock:
                found = self._search(requests)
            return [request.convert(hypotheses) for request, hypotheses in zip(requests, found, strict=True)]
        return [future.result() for future in self.submit_pieces(sources, options)]

    def translate(
        self,
        texts: Sequence[str],
        options: SearchOptions | None = None,
        limits: BatchLimits | None = None,
        target: str | None = None,
    ) -> list[Translation]:
        """Translate any number of texts; the order of the answers is that of the texts.

        The reference cuts them into length-sorted batches within `limits`; an engine has limits of its own. Raises
        `ConfigurationError` for a text of more than `max_source_pieces`.
        """
        sources = self.encode(texts, target)
        self.check_lengths(sources)
        found = dict(self.translated(sources, options or SearchOptions(), limits))
        return [found[number] for number in range(len(sources))]

    def translated(
        self, sources: Sequence[Sequence[int]], options: SearchOptions, limits: BatchLimits | None = None
    ) -> Iterator[tuple[int, Translation]]:
        """As `translate`, of source pieces: yields the number of a source and its translation, as they come."""
        order = sorted(range(len(sources)), key=lambda number: len(sources[number]))
        if self._running_engine(options) is not None:
            # The longest first: at the end, when no more wait, those that run are short.
            order.reverse()
            futures = self.submit_pieces([sources[number] for number in order], options)
            yield from ((number, future.result()) for number, future in zip(order, futures, strict=True))
            return
        for run in pack([len(sources[number]) + 1 for number in order], limits or STATIC_LIMITS):
            batch = [order[place] for place in run]
            found = self.translate_pieces([sources[number] for number in batch], options)
            yield from zip(batch, found, strict=True)

    def padding_ratio(self, sources: Sequence[Sequence[int]], limits: BatchLimits | None = None) -> float:
        """The share of padding when `translate` encodes these sources; an engine in C pads none."""
        if not self.pads:
            return 0.0
        lengths = sorted(len(source) + 1 for source in sources)
        return padding_ratio([lengths[place] for place in run] for run in pack(lengths, limits or STATIC_LIMITS))

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
        config = self.checkpoint.network.config
        most, pieces = config.max_positions - 1, config.vocabulary_size
        if any(not 0 <= piece < pieces for piece in options.prefix):
            raise ConfigurationError(f"a piece of the prefix is none of the model's {pieces}: see `with_prefix`")
        if max(options.max_pieces or 0, options.min_pieces, len(options.prefix)) > most:
            raise ConfigurationError(
                f"the model gives at most {most} pieces: lower the maximum or the minimum, or shorten the prefix"
            )
        if options.max_pieces is not None:
            return (options.max_pieces,) * len(sources)
        usual = (_target_limit(len(source)) + len(options.prefix) for source in sources)
        return tuple(min(max(limit, options.min_pieces), most) for limit in usual)

    def _requests(self, sources: Sequence[Sequence[int]], options: SearchOptions, priority: int) -> list[Request]:
        shortlist = self.checkpoint.require_shortlist() if options.vocabulary == "shortlist" else None
        return [
            Request(
                source=(*source, END),
                options=options,
                limit=limit,
                convert=Conversion(self.checkpoint.vocabulary, len(source)),
                priority=priority,
                seed=_seed(source) if options.sampling else 0,
                shortlist=None if shortlist is None else shortlist.candidates(source, options.prefix),
            )
            for source, limit in zip(sources, self._limits(sources, options), strict=True)
        ]

    def _running_engine(self, options: SearchOptions) -> Engine | None:
        """The engine, if its running batch knows these options; what it does not know, the reference does."""
        engine = self.engine
        if engine is None or options.sampling or options.looks_at_attention or options.no_repeat_ngram:
            return None
        return engine if engine.takes_shortlists or options.vocabulary == "whole" else None

    def _static_engine(self) -> StaticEngine:
        with self._lock:
            if self._static is None:
                # Not a method of ours: the engine must not keep the translator alive.
                search_of, lock = self._reference_search(), self._lock

                def translate(requests: Sequence[Request]) -> list[list[Hypothesis]]:
                    with lock:
                        return search_of(requests)

                self._static = StaticEngine(translate, EngineLimits().waiting)
                self._closing.append(weakref.finalize(self, self._static.close))
            return self._static

    def _search(self, requests: Sequence[Request]) -> list[list[Hypothesis]]:
        return self._reference_search()(requests)

    def _reference_search(self) -> "ReferenceSearch":
        network = self.checkpoint.network
        if self._folder is not None and next(network.parameters()).is_meta:
            self.checkpoint = load_checkpoint(self._folder, self.device)
        return ReferenceSearch(self.checkpoint.network, self.device)


@dataclass(frozen=True, slots=True)
class ReferenceSearch:
    """Plain PyTorch: one padded batch through the network and its search."""

    network: Network
    device: torch.device

    def __call__(self, requests: Sequence[Request]) -> list[list[Hypothesis]]:
        """The hypotheses of requests that have the same options."""
        rows = Rows(
            tuple(request.limit for request in requests),
            self.device,
            seeds=tuple(request.seed for request in requests),
            multiple=ROW_MULTIPLE,
            allowed=tuple(request.shortlist for request in requests if request.shortlist is not None),
        )
        with torch.inference_mode():
            state = self.network.start(self._padded([request.source for request in requests]))
            return search(self.network.step, state, rows, requests[0].options)

    def _padded(self, sources: Sequence[Sequence[int]]) -> torch.Tensor:
        """The sources with the dummy rows and the padding that `arithmetic` asks for: (B, S)."""
        length = min(source_length(max(map(len, sources))), self.network.config.max_positions)
        spare = [[END]] * (-len(sources) % ROW_MULTIPLE)
        return pad([*sources, *spare], length).to(self.device)


@dataclass(frozen=True, slots=True)
class Conversion:
    """From the hypotheses of a segment of so many source pieces to its translation."""

    vocabulary: Vocabulary
    source_pieces: int

    def __call__(self, hypotheses: Sequence[Hypothesis]) -> Translation:
        """The best, with the others as its alternatives."""
        texts = self.vocabulary.decode([one.pieces for one in hypotheses])
        found = zip(texts, hypotheses, strict=True)
        best, *others = [_translation(self.source_pieces, text, one) for text, one in found]
        return replace(best, alternatives=tuple(others))


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
