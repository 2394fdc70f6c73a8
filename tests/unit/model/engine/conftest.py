"""Requests with random sources, engines that are closed again, and what the reference finds alone."""

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from dragoman.model.architectures.transformer import Transformer, TransformerConfig
from dragoman.model.decoding import Hypothesis, Rows, SearchOptions, search
from dragoman.model.engine.continuous import ContinuousEngine
from dragoman.model.engine.core import ANY, Core, NewSegment, StepRows
from dragoman.model.engine.device.settings import DeviceSettings
from dragoman.model.engine.limits import EngineLimits
from dragoman.model.engine.request import Request
from dragoman.model.engine.torch_engine import TorchEngine
from dragoman.model.engine.turns import DeviceTurns
from dragoman.model.vocabularies.vocabulary import END
from numpy.typing import NDArray

VOCABULARY_SIZE = 300
LIMIT = 14
Ask = Callable[..., list[Request]]


@pytest.fixture(scope="session")
def random_network() -> Callable[..., Transformer]:
    """Makes a network with random weights of any shape."""

    def make(**shape: object) -> Transformer:
        torch.manual_seed(5)
        small = {"width": 32, "heads": 2, "feed_forward": 48, "encoder_layers": 1, "decoder_layers": 2}
        config = TransformerConfig(VOCABULARY_SIZE, max_positions=64, **{**small, **shape})
        return Transformer(config).eval().requires_grad_(requires_grad=False)

    return make


@pytest.fixture
def torch_engine() -> Iterator[Callable[..., TorchEngine]]:
    """Starts engines from a network and settings; they are closed after the test."""
    started: list[TorchEngine] = []

    def start(network: Transformer, **settings: object) -> TorchEngine:
        few = {"rows": 16, "beam_sizes": (1, 4), "cache_bytes": 1 << 24}
        started.append(TorchEngine(network, torch.device("cpu"), DeviceSettings(**{**few, **settings})))
        return started[-1]

    yield start
    for engine in started:
        engine.close()


@pytest.fixture
def ask() -> Ask:
    """Makes requests for (options of each); their sources are random, and the same in every test."""

    def make(options: Sequence[SearchOptions], limit: int = LIMIT) -> list[Request]:
        numbers = random.Random(2)
        return [Request(_source(numbers), one, limit, tuple) for one in options]

    return make


@pytest.fixture
def answers() -> Callable[[TorchEngine, Sequence[Request]], list[Sequence[Hypothesis]]]:
    """Submits requests and waits for their hypotheses."""

    def wait(engine: TorchEngine, requests: Sequence[Request]) -> list[Sequence[Hypothesis]]:
        engine.submit(requests)
        return [request.future.result(timeout=60) for request in requests]

    return wait


@pytest.fixture(scope="session")
def alone() -> Callable[[Transformer, Sequence[Request]], list[Sequence[Hypothesis]]]:
    """What the reference finds for each request by itself."""

    def find(network: Transformer, requests: Sequence[Request]) -> list[Sequence[Hypothesis]]:
        found: list[Sequence[Hypothesis]] = []
        for request in requests:
            with torch.inference_mode():
                state = network.start(torch.tensor([request.source]))
            allowed = () if request.shortlist is None else (request.shortlist,)
            rows = Rows((request.limit,), torch.device("cpu"), allowed=allowed)
            found += search(network.step, state, rows, request.options)
        return found

    return find


def _source(numbers: random.Random) -> tuple[int, ...]:
    pieces = [numbers.randrange(4, VOCABULARY_SIZE) for _ in range(numbers.randrange(1, 24))]
    return (*pieces, END)


class ScriptedCore(Core):
    """Probabilities from the source and the pieces so far: as good as random, always the same. Counts what is open.

    A step waits until `gate` is open; `stepping` is set once the first has begun. A source with the piece `REFUSED`
    cannot be opened. A segment takes as many bytes as it has source pieces and target positions.
    """

    name = "scripted"
    is_invariant = True
    REFUSED = -1

    def __init__(self, vocabulary_size: int = 12) -> None:
        self.vocabulary_size = vocabulary_size
        self.gate, self.stepping = threading.Event(), threading.Event()
        self.gate.set()
        self.sources: dict[int, NewSegment] = {}
        self.paths: dict[tuple[int, int], tuple[int, ...]] = {}
        self.opened: list[list[tuple[int, ...]]] = []
        self.row_counts: list[int] = []
        self.most_bytes = 0
        self.is_closed = False

    def bytes_of(self, segment: NewSegment) -> int:
        return len(segment.source) + segment.rows * segment.positions

    def open(self, segments: Sequence[NewSegment]) -> list[int]:
        if any(self.REFUSED in segment.source for segment in segments):
            raise MemoryError("no room for that one")
        self.opened.append([tuple(segment.source) for segment in segments])
        numbers = [sum(map(len, self.opened)) - len(segments) + place for place in range(len(segments))]
        self.sources |= zip(numbers, segments, strict=True)
        self.most_bytes = max(self.most_bytes, sum(map(self.bytes_of, self.sources.values())))
        return numbers

    def release(self, segments: Sequence[int]) -> None:
        for segment in segments:
            del self.sources[segment]

    def step(self, rows: StepRows, width: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        self.stepping.set()
        assert self.gate.wait(timeout=60)
        self.row_counts.append(len(rows.segments))
        taken = (rows.segments, rows.places, rows.parents, rows.pieces, rows.forced, rows.endless)
        columns = [column.tolist() for column in taken]
        paths = [
            (*self.paths.get((one, parent), ()), piece) for one, _, parent, piece, *_ in zip(*columns, strict=True)
        ]
        self.paths |= zip(zip(*columns[:2], strict=True), paths, strict=True)
        gains = [
            self.log_probabilities(self.sources[one].source, path) for one, path in zip(columns[0], paths, strict=True)
        ]
        found = [_best(row, how, width) for row, how in zip(gains, zip(*columns[4:], strict=True), strict=True)]
        return np.stack([pieces for pieces, _ in found]), np.stack([scores for _, scores in found])

    def log_probabilities(self, source: Sequence[int], path: tuple[int, ...]) -> NDArray[np.float64]:
        """Of all pieces (V,) after `path`, which begins with BEGIN."""
        scores = np.random.default_rng([len(source), *source, *path]).normal(size=self.vocabulary_size)
        gains: NDArray[np.float64] = scores - np.log(np.exp(scores).sum())
        return gains

    def close(self) -> None:
        self.is_closed = True


def _best(gains: NDArray[np.float64], how: tuple[int, int], width: int) -> tuple[Any, Any]:
    """What `Core.step` gives for a row with these log-probabilities, (forced, endless) and W."""
    forced, endless = how
    allowed = np.full(len(gains) + width, -np.inf, np.float32)
    first = END + 1 if endless else END
    may_come = slice(first, len(gains)) if forced == ANY else slice(forced, forced + 1)
    allowed[: len(gains)][may_come] = gains[may_come]
    best = np.argsort(-allowed, kind="stable")[:width].astype(np.int32)
    return np.where(np.isneginf(allowed[best]), END, best).astype(np.int32), allowed[best]


@pytest.fixture(scope="session")
def scripted_core() -> type[ScriptedCore]:
    return ScriptedCore


@pytest.fixture
def continuous_engine() -> Iterator[Callable[..., ContinuousEngine]]:
    """Starts engines from a core and limits; they are closed after the test."""
    started: list[ContinuousEngine] = []

    def start(core: Core, turns: DeviceTurns | None = None, **limits: int) -> ContinuousEngine:
        started.append(ContinuousEngine(core, turns or DeviceTurns(), EngineLimits(**limits)))
        return started[-1]

    yield start
    for engine in started:
        engine.close()
