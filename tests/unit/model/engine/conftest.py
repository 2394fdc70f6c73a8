"""Requests with random sources, engines that are closed again, and what the reference finds alone."""

import random
from collections.abc import Callable, Iterator, Sequence

import pytest
import torch
from dragoman.model.architectures.transformer import Transformer, TransformerConfig
from dragoman.model.decoding import Hypothesis, Rows, SearchOptions, search
from dragoman.model.engine.device.settings import DeviceSettings
from dragoman.model.engine.request import Request
from dragoman.model.engine.torch_engine import TorchEngine
from dragoman.model.vocabularies.vocabulary import END

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
            rows = Rows((request.limit,), torch.device("cpu"))
            found += search(network.step, state, rows, request.options)
        return found

    return find


def _source(numbers: random.Random) -> tuple[int, ...]:
    pieces = [numbers.randrange(4, VOCABULARY_SIZE) for _ in range(numbers.randrange(1, 24))]
    return (*pieces, END)
