"""The running batch over the core in C: what it finds is the reference's, and the same bits whatever runs beside it."""

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from dragoman.errors import ConfigurationError
from dragoman.model.architectures.transformer import Transformer
from dragoman.model.decoding import Hypothesis, Rows, SearchOptions, search
from dragoman.model.engine.continuous import ContinuousEngine
from dragoman.model.engine.core import ANY, NewSegment, StepRows
from dragoman.model.engine.limits import EngineLimits
from dragoman.model.engine.native_core import NativeCore
from dragoman.model.engine.request import Request
from dragoman.model.engine.turns import DeviceTurns
from dragoman.model.vocabularies.vocabulary import BEGIN, END
from dragoman.model.weights import quantised
from hypothesis import given, settings
from hypothesis import strategies as st

SHAPES: tuple[dict[str, Any], ...] = (
    {},
    {"norm": "post", "positions": "sinusoidal-halves", "activation": "swish", "output_bias": "learned"},
    {"positions": "rotary", "activation": "gelu", "embeddings": "separate"},
    {"positions": "learned", "embedding_norm": "layer", "decoder_heads": 4, "decoder_feed_forward": 33},
    {"width": 30, "heads": 5, "feed_forward": 17},
    {"width": 9, "heads": 3, "embedding_scale": "none"},
    {"width": 64, "heads": 2, "encoder_layers": 3, "decoder_layers": 1, "embeddings": "tied-inputs"},
)
PRECISIONS = ("float32", "int8-exact", "int8")
GREEDY, BEAM = SearchOptions(beam_size=1), SearchOptions(beam_size=3, n_best=2, length_penalty=0.6)
LIMIT = 9
Start = Callable[..., ContinuousEngine]


@pytest.fixture
def engine_of() -> Iterator[Start]:
    """Starts an engine from a network, a precision and limits; it is closed after the test."""
    started: list[ContinuousEngine] = []

    def start(network: Transformer, precision: Any = "float32", **limits: int) -> ContinuousEngine:
        core = NativeCore(network, precision, limits.pop("threads", 1))
        started.append(ContinuousEngine(core, DeviceTurns(), EngineLimits(**limits)))
        return started[-1]

    yield start
    for engine in started:
        engine.close()


def sources(count: int, vocabulary: int = 300) -> list[tuple[int, ...]]:
    numbers = random.Random(4)
    return [(*(numbers.randrange(4, vocabulary) for _ in range(numbers.randrange(12))), END) for _ in range(count)]


def requests(segments: Sequence[tuple[int, ...]], options: SearchOptions, **more: Any) -> list[Request]:
    return [Request(segment, options, LIMIT, tuple, **more) for segment in segments]


def answers(engine: ContinuousEngine, asked: Sequence[Request]) -> list[tuple[Hypothesis, ...]]:
    engine.submit(asked)
    return [request.future.result(timeout=60) for request in asked]


def reference(network: Transformer, request: Request) -> list[Hypothesis]:
    with torch.inference_mode():
        state = network.start(torch.tensor([request.source]))
        return search(network.step, state, Rows((request.limit,), torch.device("cpu")), request.options)[0]


def assert_equal(found: Sequence[Hypothesis], expected: Sequence[Hypothesis]) -> None:
    assert [one.pieces for one in found] == [one.pieces for one in expected]
    assert [one.score for one in found] == pytest.approx([one.score for one in expected], abs=2e-5)
    assert found[0].piece_scores == pytest.approx(expected[0].piece_scores, abs=2e-5)


@pytest.mark.parametrize("options", [GREEDY, BEAM], ids=["greedy", "beam"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "-".join(map(str, shape.values())) or "default")
def test_hypotheses_are_those_of_the_reference_for_every_shape(
    random_network: Any, engine_of: Start, shape: Any, options: SearchOptions
) -> None:
    network, asked = random_network(**shape), requests(sources(8), options)
    for found, request in zip(answers(engine_of(network), asked), asked, strict=True):
        assert_equal(found, reference(network, request))


@pytest.mark.parametrize(
    "options",
    [
        SearchOptions(beam_size=5, n_best=5, length_penalty=0.0),
        SearchOptions(beam_size=2, length_penalty=2.0, min_pieces=4),
        SearchOptions(beam_size=4, prefix=(7, 9, 7)),
        SearchOptions(beam_size=1, prefix=tuple(range(10, 10 + LIMIT))),
        SearchOptions(beam_size=1, min_pieces=LIMIT),
        SearchOptions(beam_size=3, min_pieces=6, prefix=(5,)),
    ],
)
def test_hypotheses_are_those_of_the_reference_for_every_option(
    random_network: Any, engine_of: Start, options: SearchOptions
) -> None:
    network, asked = random_network(), requests(sources(6), options)
    for found, request in zip(answers(engine_of(network), asked), asked, strict=True):
        assert_equal(found, reference(network, request))


def test_vocabulary_smaller_than_the_beam_is_searched_like_the_reference(engine_of: Start) -> None:
    network = tiny_vocabulary()
    asked = requests([(4, 5, END), (END,)], SearchOptions(beam_size=4, n_best=2))
    for found, request in zip(answers(engine_of(network), asked), asked, strict=True):
        assert_equal(found, reference(network, request))


def tiny_vocabulary() -> Transformer:
    from dragoman.model.architectures.transformer import TransformerConfig

    torch.manual_seed(3)
    return Transformer(TransformerConfig(7, 16, 2, 16, 1, 1, max_positions=32)).eval()


def test_exact_integers_compute_what_the_rounded_weights_say(random_network: Any, engine_of: Start) -> None:
    network = random_network()
    asked = requests(sources(8), GREEDY)
    found = answers(engine_of(network, "int8-exact"), asked)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() == 2:
                parameter.copy_(quantised(parameter).dequantised())
    for hypotheses, request in zip(found, asked, strict=True):
        expected = reference(network, request)
        assert hypotheses[0].pieces == expected[0].pieces
        assert hypotheses[0].score == pytest.approx(expected[0].score, abs=1e-3)


def test_eight_bit_rows_stay_near_the_exact_ones(random_network: Any) -> None:
    """Normal weights: the error of rows of 7 bits is some hundredths of a log-probability, not tenths."""
    network = random_network(width=64)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() == 2:
                parameter.normal_(0, parameter.shape[1] ** -0.5, generator=torch.Generator().manual_seed(1))
    first = [first_scores(network, precision) for precision in ("int8-exact", "int8")]

    assert np.abs(first[0] - first[1]).mean() < 0.05


def first_scores(network: Transformer, precision: Any) -> Any:
    """Log-probabilities of piece 9 after BEGIN, for some segments."""
    core = NativeCore(network, precision, 1)
    opened = core.open([NewSegment(source, 1, 4) for source in sources(20)])
    _, scores = core.step(step_rows(opened, forced=9), 1)
    core.close()
    return scores[:, 0]


def step_rows(opened: Sequence[int], forced: int = ANY, endless: int = 0) -> StepRows:
    """The first step of segments with a row each."""
    zeros = np.zeros(len(opened), np.int32)
    return StepRows(np.array(opened, np.int64), zeros, zeros, zeros + BEGIN, zeros, zeros + forced, zeros + endless)


@pytest.mark.parametrize("precision", PRECISIONS)
@given(data=st.data())
@settings(max_examples=8, deadline=None)
def test_bits_do_not_depend_on_neighbours_order_or_threads(random_network: Any, precision: Any, data: Any) -> None:
    network = random_network()
    with_shortlists = data.draw(st.booleans())
    asked = mixed_requests(random.Random(data.draw(st.integers(0, 1000))), with_shortlists)
    limits = EngineLimits(rows=data.draw(st.integers(5, 12)), encode_pieces=data.draw(st.integers(1, 40)))
    together = ContinuousEngine(NativeCore(network, precision, data.draw(st.integers(1, 3))), DeviceTurns(), limits)
    alone = ContinuousEngine(NativeCore(network, precision, 1), DeviceTurns())
    order = data.draw(st.permutations(range(len(asked))))

    together.submit([asked[place] for place in order])
    found = [request.future.result(timeout=60) for request in asked]
    expected = [answers(alone, [again(request)])[0] for request in asked]

    together.close()
    alone.close()
    assert found == expected


def mixed_requests(numbers: random.Random, with_shortlists: bool) -> list[Request]:
    asked = []
    for source in sources(10):
        options = SearchOptions(
            beam_size=numbers.choice((1, 1, 2, 5)),
            min_pieces=numbers.choice((0, 0, 3)),
            prefix=numbers.choice(((), (), (7, 8))),
            length_penalty=numbers.choice((0.0, 1.0)),
        )
        shortlist = None
        if with_shortlists and numbers.random() < 0.7:
            pieces = {END, 7, 8, *numbers.sample(range(4, 300), 40)}
            shortlist = np.array(sorted(pieces), np.int32)
        limit = numbers.randrange(3, 12)
        asked.append(Request(source, options, limit, tuple, numbers.randrange(3), shortlist=shortlist))
    return asked


def again(request: Request) -> Request:
    return Request(request.source, request.options, request.limit, tuple, shortlist=request.shortlist)


def test_shortlists_give_what_the_reference_gives_and_columns_come_and_go(
    random_network: Any, engine_of: Start
) -> None:
    network, numbers = random_network(), random.Random(6)
    engine = engine_of(network, rows=6)
    asked = []
    for source in sources(60):
        pieces = np.array(sorted({END, *numbers.sample(range(4, 300), 25)}), np.int32)
        asked.append(Request(source, SearchOptions(beam_size=2), LIMIT, tuple, shortlist=pieces))
    for found, request in zip(answers(engine, asked), asked, strict=True):
        with torch.inference_mode():
            state = network.start(torch.tensor([request.source]))
            assert request.shortlist is not None
            rows = Rows((LIMIT,), torch.device("cpu"), allowed=(request.shortlist,))
            [expected] = search(network.step, state, rows, request.options)
        assert_equal(found, expected)


def test_special_pieces_never_come_and_end_only_where_it_may(random_network: Any) -> None:
    core = NativeCore(random_network(), "float32", 1)
    opened = core.open([NewSegment((5, END), 1, 4)])
    pieces, scores = core.step(step_rows(opened), 300)
    endless, _ = core.step(step_rows(opened, endless=1), 300)
    core.close()

    assert sorted(pieces[0, :297].tolist()) == list(range(3, 300))
    assert np.isneginf(scores[0, 297:]).all()
    assert np.exp(scores[0, :297]).sum() < 1
    assert END not in endless[0, :296]


def test_forced_piece_comes_with_its_own_probability(random_network: Any) -> None:
    core = NativeCore(random_network(), "float32", 1)
    opened = core.open([NewSegment((5, END), 1, 4)])
    pieces, scores = core.step(step_rows(opened), 300)
    forced, forced_scores = core.step(step_rows(opened, forced=42), 3)
    core.close()

    assert forced[0, 0] == 42
    assert forced_scores[0, 0] == scores[0, pieces[0].tolist().index(42)]
    assert np.isneginf(forced_scores[0, 1:]).all()


def test_cancelled_segment_leaves_the_batch(random_network: Any, engine_of: Start) -> None:
    engine = engine_of(random_network(), rows=1)
    long = Request((5, END), SearchOptions(beam_size=1, min_pieces=60), 60, tuple)
    short = Request((6, END), GREEDY, 3, tuple)
    engine.submit([long, short])

    assert long.future.cancel()
    assert short.future.result(timeout=60)


def test_urgent_segment_overtakes_those_that_wait(random_network: Any, engine_of: Start) -> None:
    done: list[str] = []

    def noting(name: str) -> Callable[[Sequence[Hypothesis]], None]:
        return lambda _: done.append(name)

    engine = engine_of(random_network(), rows=1)
    options = SearchOptions(beam_size=1, min_pieces=40)
    slow = Request((5, END), options, 40, noting("running"))
    patient = [Request((5, END), GREEDY, 5, noting("patient"), priority=1) for _ in range(3)]
    urgent = Request((5, END), GREEDY, 5, noting("urgent"), priority=0)
    engine.submit([slow, *patient, urgent])
    for request in (slow, *patient, urgent):
        request.future.result(timeout=60)

    assert done.index("urgent") < done.index("patient")


def test_segment_that_can_never_fit_is_refused_with_the_reason(random_network: Any, engine_of: Start) -> None:
    engine = engine_of(random_network(), rows=2, cache_bytes=4000)
    wide, long = Request((5, END), BEAM, 5, tuple), Request((5, END), GREEDY, 60, tuple)
    engine.submit([wide, long])

    with pytest.raises(ConfigurationError, match="a beam of 3 does not fit a batch of 2 rows"):
        wide.future.result(timeout=60)
    with pytest.raises(ConfigurationError, match="lower its longest translation"):
        long.future.result(timeout=60)


def test_segment_that_cannot_be_opened_fails_alone(random_network: Any, engine_of: Start) -> None:
    engine = engine_of(random_network())
    good, bad = requests([(5, END)], GREEDY)[0], requests([(5, 300, END)], GREEDY)[0]
    engine.submit([good, bad])

    assert good.future.result(timeout=60)
    with pytest.raises(ConfigurationError, match="does not have"):
        bad.future.result(timeout=60)


def test_error_of_the_core_reaches_all_who_wait_and_later_ones(random_network: Any) -> None:
    class BrokenCore(NativeCore):
        def step(self, rows: StepRows, width: int) -> Any:
            raise OSError("the device is gone")

    engine = ContinuousEngine(BrokenCore(random_network(), "float32", 1), DeviceTurns())
    asked = requests(sources(5), GREEDY)
    engine.submit(asked)

    for request in asked:
        with pytest.raises(OSError, match="the device is gone"):
            request.future.result(timeout=60)
    with pytest.raises(ConfigurationError, match="closed"):
        engine.submit(requests(sources(1), GREEDY))


def test_error_of_a_conversion_reaches_its_own_future(random_network: Any, engine_of: Start) -> None:
    def fail(_: Sequence[Hypothesis]) -> None:
        raise KeyError("not that one")

    engine = engine_of(random_network())
    bad, good = Request((5, END), GREEDY, 5, fail), Request((5, END), GREEDY, 5, tuple)
    engine.submit([bad, good])

    with pytest.raises(KeyError):
        bad.future.result(timeout=60)
    assert good.future.result(timeout=60)


def test_closed_engine_fails_what_waits_and_takes_no_more(random_network: Any, engine_of: Start) -> None:
    engine = engine_of(random_network(), rows=1)
    asked = requests([(5, END)] * 50, SearchOptions(beam_size=1, min_pieces=LIMIT))
    engine.submit(asked)
    engine.close()

    assert all(request.future.done() for request in asked)
    with pytest.raises(ConfigurationError, match="closed"):
        asked[-1].future.result()
    with pytest.raises(ConfigurationError, match="closed"):
        engine.submit(requests([(5, END)], GREEDY))


def test_full_queue_makes_submitting_wait(random_network: Any) -> None:
    turns = DeviceTurns()
    engine = ContinuousEngine(NativeCore(random_network(), "float32", 1), turns, EngineLimits(waiting=2))
    with turns.turn("another engine"), pytest.raises(TimeoutError, match="2 segments wait already"):
        engine.submit(requests([(5, END)] * 3, GREEDY), timeout_seconds=0.01)
    engine.close()


def test_nothing_stays_open_after_many_segments(random_network: Any, engine_of: Start) -> None:
    engine = engine_of(random_network(), rows=8)
    answers(engine, requests(sources(400), BEAM))

    assert engine.occupancy.segments == 400
    assert engine._used_bytes == 0
    assert engine._bytes == {}
    assert 0.5 < engine.occupancy.share <= 1


def test_engine_that_used_less_time_goes_first() -> None:
    turns, order = DeviceTurns(), []
    with turns.turn("busy"):
        order.append("busy")
    turns._used_seconds.update(busy=5.0, idle=1.0)
    turns._waiting.update({"busy", "idle"})

    assert turns._next() == "idle"


@pytest.mark.parametrize("positions", [0, 65])
def test_impossible_segment_is_refused_by_the_core(random_network: Any, positions: int) -> None:
    core = NativeCore(random_network(), "float32", 1)

    with pytest.raises(ConfigurationError, match="this network takes 1 to 64"):
        core.open([NewSegment((5, END), 1, positions)])
    core.close()
