"""The core in C, step by step along given pieces: its probabilities are those of the network in PyTorch."""

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from dragoman.errors import ConfigurationError
from dragoman.model.architectures.transformer import Transformer, TransformerConfig
from dragoman.model.engine.core import ANY, NewSegment, StepRows
from dragoman.model.engine.native_core import NativeCore
from dragoman.model.vocabularies.vocabulary import BEGIN, END, PAD, UNKNOWN
from dragoman.model.weights import quantised
from numpy.typing import NDArray

SMALL = {"width": 24, "heads": 2, "feed_forward": 40, "encoder_layers": 1, "decoder_layers": 1, "max_positions": 40}
SHAPES: dict[str, dict[str, Any]] = {
    "default": {},
    "post-norm": {"norm": "post", "activation": "swish", "encoder_layers": 3, "decoder_layers": 2},
    "marian": {"norm": "post", "positions": "sinusoidal-halves", "activation": "swish", "output_bias": "learned"},
    "rotary": {"positions": "rotary", "activation": "gelu", "decoder_layers": 3},
    "learned": {"positions": "learned", "embedding_norm": "layer", "embeddings": "separate"},
    "learned-post": {"positions": "learned", "embedding_norm": "layer", "norm": "post", "embeddings": "tied-inputs"},
    "own-decoder": {"decoder_heads": 6, "decoder_feed_forward": 71, "embeddings": "tied-target"},
    "heads-of-3": {"width": 9, "heads": 3, "feed_forward": 5, "embedding_scale": "none"},
    "heads-of-5": {"width": 35, "heads": 7, "feed_forward": 13, "activation": "gelu"},
    "heads-of-9": {"width": 27, "heads": 3, "feed_forward": 17, "activation": "swish"},
    "heads-of-2-rotary": {"width": 6, "heads": 3, "positions": "rotary", "feed_forward": 1},
    "one-head": {"width": 50, "heads": 1, "feed_forward": 129, "output_bias": "learned"},
    "wide": {"width": 136, "heads": 2, "feed_forward": 200, "decoder_layers": 2},
    "five-pieces": {"vocabulary_size": 5},
    "one-group": {"vocabulary_size": 384, "output_bias": "learned"},
    "more-than-a-group": {"vocabulary_size": 385},
    "many-groups": {"vocabulary_size": 2003, "output_bias": "learned", "embeddings": "separate"},
    "own-source": {"vocabulary_size": 90, "source_vocabulary_size": 411, "embeddings": "separate"},
}
WIDTH = 7
Packed = Callable[..., NativeCore]


@dataclass(frozen=True)
class Segment:
    """A source, and the pieces of a translation that is stepped along."""

    source: tuple[int, ...]
    target: tuple[int, ...]


@pytest.fixture
def packed() -> Iterator[Packed]:
    """Makes cores from a network, a precision and threads; they are closed after the test."""
    made: list[NativeCore] = []

    def make(network: Transformer, precision: Any = "float32", threads: int = 1) -> NativeCore:
        made.append(NativeCore(network, precision, threads))
        return made[-1]

    yield make
    for core in made:
        core.close()


def network_of(**shape: Any) -> Transformer:
    """Normal weights with a deviation of 1 / sqrt(inputs), as training leaves them, and biases that are not 0."""
    torch.manual_seed(11)
    network = Transformer(TransformerConfig(**{"vocabulary_size": 120, **SMALL, **shape})).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            noise = torch.randn_like(parameter)
            parameter.copy_(parameter + 0.1 * noise if parameter.dim() == 1 else noise * parameter.shape[1] ** -0.5)
    return network.requires_grad_(requires_grad=False)


def round_weights(network: Transformer) -> None:
    """Every matrix to 8 bits and back; learned positions stay as they are."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.dim() == 2 and not name.endswith("positions"):
                parameter.copy_(quantised(parameter).dequantised())


def segments_of(network: Transformer, count: int = 9) -> list[Segment]:
    """Sources of one piece and more, translations of no piece and more."""
    numbers, target_size = random.Random(3), network.config.vocabulary_size
    source_size = network.embedding_of_source.num_embeddings

    def pieces(size: int, most: int) -> tuple[int, ...]:
        return tuple(numbers.randrange(END + 1, size) for _ in range(numbers.randrange(most)))

    some = [Segment((*pieces(source_size, 15), END), pieces(target_size, 12)) for _ in range(count - 1)]
    return [Segment((END,), (4,) * 20), *some]


def expected(network: Transformer, segment: Segment) -> NDArray[np.float32]:
    """Log-probabilities (T, V) of the pieces that may follow BEGIN and each piece of the translation."""
    with torch.inference_mode():
        hidden = network(torch.tensor([segment.source]), torch.tensor([[BEGIN, *segment.target]]))
        gains = network.logits(hidden)[0].log_softmax(-1)
        gains[:, [PAD, UNKNOWN, BEGIN]] = -math.inf
    found: NDArray[np.float32] = gains.numpy()
    return found


def stepped(core: NativeCore, segments: Sequence[Segment], width: int = WIDTH) -> list[tuple[Any, Any]]:
    """Pieces and log-probabilities (T, W) of each segment; all go step by step together, those that end leave."""
    opened = core.open([NewSegment(one.source, 1, len(one.target) + 1) for one in segments])
    found: list[list[tuple[Any, Any]]] = [[] for _ in segments]
    for position in range(max(len(one.target) for one in segments) + 1):
        running = [place for place, one in enumerate(segments) if position <= len(one.target)]
        last = [(BEGIN, *segments[place].target)[position] for place in running]
        pieces, scores = core.step(rows_of([opened[place] for place in running], last, position), width)
        for place, *row in zip(running, pieces, scores, strict=True):
            found[place].append((row[0], row[1]))
    core.release(opened)
    return [(np.stack([row[0] for row in one]), np.stack([row[1] for row in one])) for one in found]


def rows_of(opened: Sequence[int], last: Sequence[int], position: int, **rules: int) -> StepRows:
    """A row of each segment at one position; `rules` are forced and endless."""
    zeros = np.zeros(len(opened), np.int32)
    rule = {"forced": ANY, "endless": 0, **rules}
    return StepRows(
        np.array(opened, np.int64),
        zeros,
        zeros,
        np.array(last, np.int32),
        zeros + position,
        zeros + rule["forced"],
        zeros + rule["endless"],
    )


def assert_close(found: tuple[Any, Any], gains: NDArray[np.float32], tolerance: float) -> float:
    """The best pieces have the network's own probabilities, and there are none better; returns the mean error."""
    pieces, scores = found
    width = min(scores.shape[1], gains.shape[1] - END)
    best, own = -np.sort(-gains, 1)[:, :width], np.take_along_axis(gains, pieces[:, :width], 1)

    np.testing.assert_allclose(scores[:, :width], best, rtol=0, atol=tolerance)
    np.testing.assert_allclose(scores[:, :width], own, rtol=0, atol=tolerance)
    assert np.isneginf(scores[:, width:]).all()
    assert all(len(set(row)) == width for row in pieces[:, :width].tolist())
    return float(np.abs(scores[:, :width] - own).mean())


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_probabilities_are_those_of_the_network(packed: Packed, shape: dict[str, Any]) -> None:
    network = network_of(**shape)
    segments = segments_of(network)
    for found, segment in zip(stepped(packed(network), segments), segments, strict=True):
        assert_close(found, expected(network, segment), 1e-5)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_exact_integers_are_the_network_with_rounded_weights(packed: Packed, shape: dict[str, Any]) -> None:
    network = network_of(**shape)
    segments = segments_of(network)
    core = packed(network, "int8-exact")
    round_weights(network)
    # Rows of 16-bit integers are wrong by 1 / 65,534 of their largest at most: some 1e-4 behind a dozen products.
    errors = [
        assert_close(found, expected(network, segment), 5e-4)
        for found, segment in zip(stepped(core, segments), segments, strict=True)
    ]

    assert np.mean(errors) < 6e-5


def test_rows_of_8_bits_stay_near_the_exact_ones(packed: Packed) -> None:
    """At worst 7 bits: each product is wrong by 1.4 % of its deviation, a score behind ten by some hundredths."""
    network = network_of(**SHAPES["wide"])
    segments = segments_of(network)
    core = packed(network, "int8")
    round_weights(network)
    errors = [
        assert_close(found, expected(network, segment), 0.3)
        for found, segment in zip(stepped(core, segments), segments, strict=True)
    ]

    assert np.mean(errors) < 0.04


@pytest.mark.parametrize("precision", ["float32", "int8-exact", "int8"])
def test_rows_that_change_places_go_on_from_their_parents(packed: Packed, precision: Any) -> None:
    network, numbers = network_of(decoder_layers=2), random.Random(8)
    core = packed(network, precision)
    [one] = core.open([NewSegment((7, 8, 9, END), 4, 10)])
    paths: list[tuple[int, ...]] = [(BEGIN,)]
    parents = [0]
    for _ in range(9):
        rows = beam_rows(one, paths, parents)
        found = core.step(rows, WIDTH)
        alone = [stepped(core, [Segment((7, 8, 9, END), path[1:])]) for path in paths]
        for place, [(pieces, scores)] in enumerate(alone):
            assert found[0][place].tolist() == pieces[-1].tolist()
            assert found[1][place].tolist() == scores[-1].tolist()
        parents = [numbers.randrange(len(paths)) for _ in range(4)]
        paths = [(*paths[parent], numbers.randrange(4, 120)) for parent in parents]


def beam_rows(segment: int, paths: Sequence[tuple[int, ...]], parents: Sequence[int]) -> StepRows:
    """The rows of one segment that have come along these paths, the last step of which went on from `parents`."""
    count = len(paths)
    zeros = np.zeros(count, np.int32)
    return StepRows(
        np.full(count, segment, np.int64),
        np.arange(count, dtype=np.int32),
        np.array(parents, np.int32),
        np.array([path[-1] for path in paths], np.int32),
        zeros + len(paths[0]) - 1,
        zeros + ANY,
        zeros,
    )


@pytest.fixture
def first_step(packed: Packed) -> Callable[..., tuple[Any, Any]]:
    """Pieces and log-probabilities of the first step of one segment, from W, its shortlist and rules."""
    core = packed(network_of(vocabulary_size=500))

    def step(width: int, shortlist: Sequence[int] | None = None, **rules: int) -> tuple[Any, Any]:
        allowed = None if shortlist is None else np.array(shortlist, np.int32)
        [one] = core.open([NewSegment((5, 6, END), 1, 2, allowed)])
        pieces, scores = core.step(rows_of([one], [BEGIN], 0, **rules), width)
        core.release([one])
        return pieces[0].tolist(), scores[0].tolist()

    return step


def test_every_piece_but_the_marks_comes_where_all_are_asked_for(first_step: Callable[..., Any]) -> None:
    pieces, scores = first_step(600)

    assert sorted(pieces[:497]) == list(range(END, 500))
    assert scores[497:] == [-math.inf] * 103
    assert scores == sorted(scores, reverse=True)


def test_narrow_step_gives_the_first_of_a_wide_one(first_step: Callable[..., Any]) -> None:
    pieces, scores = first_step(500)

    assert first_step(1) == (pieces[:1], scores[:1])
    assert first_step(17) == (pieces[:17], scores[:17])


def test_end_does_not_come_where_it_may_not_and_leaves_the_others_theirs(first_step: Callable[..., Any]) -> None:
    free, endless = (dict(zip(*first_step(497, endless=endless), strict=True)) for endless in (0, 1))
    del free[END]

    assert endless.pop(END) == -math.inf
    assert endless == free


@pytest.mark.parametrize("piece", [END, 4, 383, 384, 499])
def test_forced_piece_comes_alone_with_its_own_probability(first_step: Callable[..., Any], piece: int) -> None:
    every = dict(zip(*first_step(497), strict=True))
    pieces, scores = first_step(3, forced=piece)

    assert (pieces[0], scores) == (piece, [every[piece], -math.inf, -math.inf])


def test_unknown_comes_where_it_is_forced(first_step: Callable[..., Any]) -> None:
    pieces, scores = first_step(1, forced=UNKNOWN)

    assert pieces == [UNKNOWN]
    assert -math.inf < scores[0] < 0


def test_forced_end_comes_even_where_it_may_not(first_step: Callable[..., Any]) -> None:
    assert first_step(1, forced=END, endless=1) == first_step(1, forced=END)


def test_probabilities_over_a_shortlist_are_those_of_its_pieces_alone(first_step: Callable[..., Any]) -> None:
    shortlist = [END, 9, 17, 200, 384, 499]
    every = dict(zip(*first_step(497), strict=True))
    whole = math.log(sum(math.exp(every[piece]) for piece in shortlist))
    found = dict(zip(*first_step(6, shortlist), strict=True))

    assert found == pytest.approx({piece: every[piece] - whole for piece in shortlist}, abs=1e-5)


def test_fewer_come_where_the_shortlist_has_fewer(first_step: Callable[..., Any]) -> None:
    pieces, scores = first_step(4, [END, 9])

    assert sorted(pieces[:2]) == [END, 9]
    assert scores[2:] == [-math.inf] * 2
    assert math.exp(scores[0]) + math.exp(scores[1]) == pytest.approx(1, abs=1e-6)


def test_end_of_a_shortlist_does_not_come_where_it_may_not(first_step: Callable[..., Any]) -> None:
    free, endless = (dict(zip(*first_step(3, [END, 9, 10], endless=endless), strict=True)) for endless in (0, 1))

    assert endless == {**free, END: -math.inf}


def test_shortlist_of_nothing_but_end_ends_even_where_it_may_not(first_step: Callable[..., Any]) -> None:
    assert first_step(2, [END], endless=1) == ([END, END], [0.0, -math.inf])


def test_forced_piece_that_is_not_on_the_shortlist_cannot_come(first_step: Callable[..., Any]) -> None:
    assert first_step(2, [END, 9, 10], forced=11)[1] == [-math.inf] * 2


def test_forced_piece_of_the_shortlist_comes_alone(first_step: Callable[..., Any]) -> None:
    every = dict(zip(*first_step(3, [END, 9, 10]), strict=True))

    assert first_step(2, [END, 9, 10], forced=10) == ([10, END], [every[10], -math.inf])


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("precision", ["float32", "int8-exact", "int8"])
def test_of_equally_likely_pieces_the_first_comes_first(packed: Packed, precision: Any, threads: int) -> None:
    network = network_of(vocabulary_size=1200, embeddings="tied-inputs")
    with torch.no_grad():
        # Each of the first 400 pieces has two doubles, in other groups of columns.
        network.output_weight.copy_(network.output_weight[:400].repeat(3, 1))
    core = packed(network, precision, threads)
    [one] = core.open([NewSegment((5, 6, END), 1, 2)])
    pieces, scores = core.step(rows_of([one], [BEGIN], 0, endless=1), 30)
    first = pieces[0, ::3]

    assert (first < 400).all()
    assert pieces[0].tolist() == [piece + double for piece in first.tolist() for double in (0, 400, 800)]
    assert scores[0].tolist() == np.repeat(scores[0, ::3], 3).tolist()


@pytest.mark.parametrize(
    ("segment", "sentence"),
    [
        (NewSegment((), 1, 2), "a segment of 0 source and up to 2 target positions: this network takes 1 to 40"),
        (NewSegment((END,) * 41, 1, 2), "a segment of 41 source"),
        (NewSegment((END,), 1, 41), "up to 41 target positions"),
        (NewSegment((END,), 1, 0), "up to 0 target positions"),
        (NewSegment((END,), 0, 1), "this network takes"),
        (NewSegment((120, END), 1, 1), "a source piece that the network does not have: it has 120"),
        (NewSegment((-1, END), 1, 1), "a source piece that the network does not have: it has 120"),
    ],
)
def test_segment_that_the_network_cannot_take_is_refused(packed: Packed, segment: NewSegment, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        packed(network_of()).open([NewSegment((END,), 1, 1), segment])


def test_longest_segment_is_taken(packed: Packed) -> None:
    network = network_of()
    longest = Segment((*range(4, 43), END), tuple(range(4, 43)))

    [found] = stepped(packed(network), [longest])
    assert_close(found, expected(network, longest), 1e-5)


def test_other_architectures_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="runs only the architecture transformer, this is a Linear"):
        NativeCore(torch.nn.Linear(2, 2), "float32", 1)


def test_segment_takes_the_bytes_of_its_keys_and_values(packed: Packed) -> None:
    core = packed(network_of(decoder_layers=2))
    # 2 layers of keys and values of 24 floats.
    position = 2 * 2 * 24 * 4

    assert core.bytes_of(NewSegment((4, 5, END), 1, 7)) == (3 + 7) * position
    # And where those of each row stand, twice.
    assert core.bytes_of(NewSegment((4, 5, END), 2, 7)) == (3 + 14) * position + 2 * 14 * 4


def test_core_is_closed_twice_and_with_open_segments(packed: Packed) -> None:
    core = packed(network_of())
    core.open([NewSegment((5, END), 3, 9), NewSegment((5, END), 1, 9, np.array([END, 7], np.int32))])
    core.close()
    core.close()

    assert core._handle is None
