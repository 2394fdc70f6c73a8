"""What the torch engine finds, against the reference search: every shape of a Transformer, every option it takes."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from dragoman.model.decoding import Hypothesis, SearchOptions

GREEDY, BEAM = SearchOptions(beam_size=1), SearchOptions(beam_size=4, n_best=4)
SHAPES: tuple[dict[str, Any], ...] = (
    {},
    {"norm": "post", "positions": "sinusoidal-halves", "activation": "swish", "output_bias": "learned"},
    {"positions": "learned", "embedding_norm": "layer", "embedding_scale": "none", "activation": "gelu"},
    {"positions": "rotary", "embeddings": "separate", "source_vocabulary_size": 310},
    {"decoder_heads": 4, "decoder_feed_forward": 24, "embeddings": "tied-inputs", "encoder_layers": 2},
    {"embeddings": "tied-target", "output_bias": "learned", "decoder_layers": 1},
)
MIXED = (
    GREEDY,
    BEAM,
    SearchOptions(beam_size=2, n_best=2, length_penalty=0.0),
    SearchOptions(beam_size=3, length_penalty=2.0, min_pieces=9),
    SearchOptions(beam_size=1, prefix=(17, 23, 1), min_pieces=5),
    SearchOptions(beam_size=4, n_best=3, prefix=(44,), length_penalty=0.6),
    SearchOptions(beam_size=4, min_pieces=40),
)


def same(found: Sequence[Sequence[Hypothesis]], expected: Sequence[Sequence[Hypothesis]]) -> None:
    assert [[one.pieces for one in many] for many in found] == [[one.pieces for one in many] for many in expected]
    assert _numbers(found) == pytest.approx(_numbers(expected), abs=1e-4)


def _numbers(found: Sequence[Sequence[Hypothesis]]) -> list[float]:
    return [number for many in found for one in many for number in (one.score, *one.piece_scores)]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "-".join(map(str, shape.values())) or "default")
def test_pieces_and_scores_are_the_references_for_every_shape(
    random_network: Any, torch_engine: Any, ask: Any, answers: Any, alone: Any, shape: Any
) -> None:
    network, requests = random_network(**shape), ask([GREEDY, BEAM] * 3)
    expected = alone(network, requests)
    same(answers(torch_engine(network), requests), expected)


def test_every_segment_keeps_its_own_options_when_many_are_mixed(
    random_network: Any, torch_engine: Any, ask: Any, answers: Any, alone: Any
) -> None:
    network, requests = random_network(), ask(MIXED * 2)
    same(answers(torch_engine(network), requests), alone(network, requests))


@pytest.mark.parametrize("beam_sizes", [(4,), (6,), (2, 4)])
def test_the_same_is_found_when_a_beam_runs_in_a_wider_lane(
    random_network: Any, torch_engine: Any, ask: Any, answers: Any, alone: Any, beam_sizes: Any
) -> None:
    network, requests = random_network(), ask(MIXED)
    same(answers(torch_engine(network, beam_sizes=beam_sizes), requests), alone(network, requests))


@pytest.mark.parametrize("limit", [0, 1, 2, 63])
def test_no_translation_is_longer_than_its_limit(
    random_network: Any, torch_engine: Any, ask: Any, answers: Any, alone: Any, limit: Any
) -> None:
    network, requests = random_network(), ask([GREEDY, BEAM, GREEDY, BEAM], limit)
    found = answers(torch_engine(network), requests)
    same(found, alone(network, requests))
    assert max(len(one.pieces) for many in found for one in many) <= limit


def test_the_network_itself_works_on_when_an_engine_has_taken_it_over(
    random_network: Any, torch_engine: Any, ask: Any, alone: Any
) -> None:
    network, requests = random_network(embeddings="separate"), ask([GREEDY] * 3)
    before = alone(network, requests)
    torch_engine(network)
    assert alone(network, requests) == before


def test_no_parameter_is_kept_twice_when_weights_are_fused(random_network: Any, torch_engine: Any) -> None:
    network = random_network()
    engine = torch_engine(network)
    fused = engine._batch._fused
    layer = fused.layers[1]
    assert layer.attention.key_value.weight.untyped_storage().data_ptr() == fused.self_products[1].weight.data_ptr()
    assert layer.cross.key_value.weight.untyped_storage().data_ptr() == fused.cross_product.weight.data_ptr()
    assert network.embedding.weight.data_ptr() == fused.output_weight.data_ptr()


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_every_segment_is_answered_when_precision_is_lower(
    random_network: Any, torch_engine: Any, ask: Any, answers: Any, alone: Any, precision: Any
) -> None:
    network, requests = random_network(positions="rotary"), ask([GREEDY, BEAM] * 4)
    exact = alone(network, requests)
    found = answers(torch_engine(network, precision=precision), requests)
    assert network.embedding.weight.dtype == getattr(torch, precision)
    # The first piece of a translation depends on no choice before it.
    first = [many[0].piece_scores[0] for many in found]
    assert first == pytest.approx([many[0].piece_scores[0] for many in exact], abs=0.3)
