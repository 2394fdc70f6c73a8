"""What every architecture of the catalog must do, run on small shapes of each of them."""

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from dragoman.model.architectures.catalog import ARCHITECTURES, build, describe
from dragoman.model.architectures.network import Network
from dragoman.model.architectures.recurrent import RecurrentNetwork
from dragoman.model.vocabularies.vocabulary import BEGIN, END, PAD
from torch import Tensor

V = 40
TRANSFORMER = {"width": 16, "heads": 2, "feed_forward": 24, "encoder_layers": 2, "decoder_layers": 2}
RECURRENT = {"width": 12, "state": 16}
SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "transformer": ("transformer", TRANSFORMER),
    "transformer-deep-encoder": ("transformer", TRANSFORMER | {"encoder_layers": 4, "decoder_layers": 1}),
    "transformer-post": ("transformer", TRANSFORMER | {"norm": "post", "embedding_norm": "layer"}),
    "transformer-learned": ("transformer", TRANSFORMER | {"positions": "learned", "activation": "gelu"}),
    "transformer-rotary": ("transformer", TRANSFORMER | {"positions": "rotary", "embeddings": "tied-inputs"}),
    "transformer-marian": (
        "transformer",
        TRANSFORMER
        | {"norm": "post", "positions": "sinusoidal-halves", "activation": "swish", "embedding_scale": "none"}
        | {"output_bias": "learned", "embeddings": "separate", "source_vocabulary_size": V + 5}
        | {"decoder_heads": 4, "decoder_feed_forward": 20},
    ),
    "lstm-bahdanau": ("recurrent", RECURRENT | {"attention": "bahdanau", "decoder_layers": 2}),
    "gru-bahdanau": ("recurrent", RECURRENT | {"attention": "bahdanau", "cell": "gru"}),
    "lstm-dot": ("recurrent", RECURRENT | {"attention": "luong-dot", "encoder_layers": 2, "decoder_layers": 2}),
    "lstm-general": ("recurrent", RECURRENT | {"embeddings": "tied-target", "source_vocabulary_size": V + 5}),
    "lstm-concat-feeding": ("recurrent", RECURRENT | {"attention": "luong-concat", "input_feeding": True}),
    "gru-general-feeding": (
        "recurrent",
        RECURRENT | {"cell": "gru", "input_feeding": True, "encoder_layers": 2, "decoder_layers": 2},
    ),
    "gru-dot": ("recurrent", RECURRENT | {"attention": "luong-dot", "cell": "gru", "output_bias": "none"}),
    "lstm-lexicon": ("recurrent", RECURRENT | {"lexicon": True}),
    "character-lstm": ("character-lstm", {"width": 24}),
}
# Learning rate and steps that are enough, with a third to spare, for the slowest shape of each.
LEARNING = {"transformer": (0.005, 85), "recurrent": (0.02, 55), "character-lstm": (0.02, 40)}
NAMES = list(SHAPES)
WITH_ATTENTION = [name for name in NAMES if name != "character-lstm"]
SOURCE = torch.tensor([[9, 17, 23, 31, END], [33, 8, END, PAD, PAD], [7, 7, 25, END, PAD]])
TARGET = torch.tensor([[BEGIN, 12, 30, 7, 30], [BEGIN, 24, 19, 19, 5], [BEGIN, 6, END, PAD, PAD]])


def fresh(name: str) -> Network:
    torch.manual_seed(NAMES.index(name))
    architecture, shape = SHAPES[name]
    return build(architecture, shape | {"vocabulary_size": V, "max_positions": 32})


def network_of(name: str) -> Network:
    """With every parameter off its first value: none may hide behind a zero."""
    network = fresh(name).eval().requires_grad_(requires_grad=False)
    for parameter in network.parameters():
        parameter.add_(torch.randn_like(parameter), alpha=0.1)
    if isinstance(network, RecurrentNetwork) and network.lexicon is not None:
        network.lexicon.uniform_()
    return network


@pytest.fixture(params=NAMES)
def network(request: pytest.FixtureRequest) -> Network:
    return network_of(request.param)


@pytest.fixture(params=WITH_ATTENTION)
def looking_network(request: pytest.FixtureRequest) -> Network:
    return network_of(request.param)


def all_scores(network: Network, source: Tensor, target: Tensor) -> Tensor:
    return network.logits(network(source, target))


def stepwise_scores(network: Network, state: Any, target: Tensor) -> Tensor:
    return torch.stack([network.step(column, state) for column in target.T], 1)


def assert_near(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-5)


def test_every_architecture_of_the_catalog_is_held_to_the_contract() -> None:
    assert {architecture for architecture, _ in SHAPES.values()} == set(ARCHITECTURES)


def test_steps_score_as_all_positions_at_once(network: Network) -> None:
    stepwise = stepwise_scores(network, network.start(SOURCE), TARGET)

    assert stepwise.shape == (3, 5, V)
    assert_near(stepwise, all_scores(network, SOURCE, TARGET))


def test_scores_are_the_same_when_more_padding_stands_right_of_the_source(network: Network) -> None:
    wider = F.pad(SOURCE, (0, 4), value=PAD)

    assert_near(all_scores(network, wider, TARGET), all_scores(network, SOURCE, TARGET))


def test_scores_are_the_same_when_more_padding_stands_right_of_the_target(network: Network) -> None:
    wider = F.pad(TARGET, (0, 4), value=PAD)

    assert_near(all_scores(network, SOURCE, wider)[:, :5], all_scores(network, SOURCE, TARGET))


def test_row_scores_the_same_alone_as_beside_longer_ones(network: Network) -> None:
    alone = all_scores(network, SOURCE[1:2, :3], TARGET[1:2])

    assert_near(all_scores(network, SOURCE, TARGET)[1:2], alone)


def test_position_sees_no_later_target_piece(network: Network) -> None:
    changed = TARGET.clone()
    changed[:, 3:] = 25

    assert_near(all_scores(network, SOURCE, changed)[:, :3], all_scores(network, SOURCE, TARGET)[:, :3])


def test_every_place_of_the_source_counts(network: Network) -> None:
    changed = SOURCE[:1].repeat(5, 1)
    changed[range(5), range(5)] = 20
    scores = all_scores(network, torch.cat([SOURCE[:1], changed]), TARGET[:1].expand(6, -1))[:, 0]

    assert (scores[1:] - scores[0]).abs().amax(1).min() > 1e-4


def test_select_reorders_repeats_and_drops_rows(network: Network) -> None:
    rows = torch.tensor([2, 0, 2, 0])
    state = network.start(SOURCE)
    stepwise_scores(network, state, TARGET[:, :2])
    state.select(rows)

    assert_near(stepwise_scores(network, state, TARGET[rows, 2:]), all_scores(network, SOURCE, TARGET)[rows, 2:])


def test_select_works_before_the_first_step(network: Network) -> None:
    state = network.start(SOURCE)
    state.select(torch.tensor([1, 1]))

    expected = all_scores(network, SOURCE, TARGET)[[1, 1]]
    assert_near(stepwise_scores(network, state, TARGET[[1, 1]]), expected)


def test_attention_of_each_row_sums_to_one_and_is_zero_on_padding(looking_network: Network) -> None:
    state = looking_network.start(SOURCE)
    state.keep_attention = True
    stepwise_scores(looking_network, state, TARGET[:, :2])

    assert state.attention is not None
    assert_near(state.attention.sum(1), torch.ones(3))
    assert state.attention[SOURCE == PAD].eq(0).all()
    assert state.attention[SOURCE != PAD].gt(0).all()


def test_attention_follows_the_rows_that_select_keeps(looking_network: Network) -> None:
    rows = torch.tensor([2, 0])
    state, expected = looking_network.start(SOURCE), looking_network.start(SOURCE)
    for kept in (state, expected):
        kept.keep_attention = True
        stepwise_scores(looking_network, kept, TARGET[:, :2])
    state.select(rows)
    looking_network.step(TARGET[rows, 2], state)
    looking_network.step(TARGET[:, 2], expected)

    assert state.attention is not None
    assert expected.attention is not None
    assert_near(state.attention, expected.attention[rows])


def test_scores_are_bit_for_bit_the_same_when_attention_is_kept(network: Network) -> None:
    state = network.start(SOURCE)
    state.keep_attention = True

    plain = stepwise_scores(network, network.start(SOURCE), TARGET)
    assert torch.equal(stepwise_scores(network, state, TARGET), plain)


def test_no_attention_is_kept_unasked(network: Network) -> None:
    state = network.start(SOURCE)
    network.step(TARGET[:, 0], state)

    assert state.attention is None


def test_described_network_is_built_again_with_the_same_parameters(network: Network) -> None:
    again = build(*describe(network))

    assert describe(again) == describe(network)
    assert {name: value.shape for name, value in again.state_dict().items()} == {
        name: value.shape for name, value in network.state_dict().items()
    }


def test_network_built_without_memory_scores_the_same_once_it_has_its_weights(network: Network) -> None:
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    with torch.device("meta"):
        again = build(*describe(network)).eval()
    again.load_state_dict(weights, assign=True)
    again.requires_grad_(requires_grad=False).restore_buffers()

    assert not [name for name, value in (*again.named_parameters(), *again.named_buffers()) if value.is_meta]
    assert torch.equal(all_scores(again, SOURCE, TARGET), all_scores(network, SOURCE, TARGET))


def test_copy_scores_the_same(network: Network) -> None:
    assert torch.equal(all_scores(copy.deepcopy(network), SOURCE, TARGET), all_scores(network, SOURCE, TARGET))


@pytest.mark.parametrize("name", NAMES)
def test_gradient_reaches_every_parameter(name: str) -> None:
    network = fresh(name).train()
    loss = F.cross_entropy(all_scores(network, SOURCE, TARGET)[:, :-1].flatten(0, 1), TARGET[:, 1:].flatten())
    loss.backward()  # type: ignore[no-untyped-call]

    assert not [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]


def test_network_trains_in_bfloat16(network: Network) -> None:
    expected = all_scores(network, SOURCE, TARGET)
    network.requires_grad_(requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        scores = all_scores(network, SOURCE, TARGET)
    scores.float().sum().backward()  # type: ignore[no-untyped-call]

    torch.testing.assert_close(scores.float(), expected, rtol=0, atol=0.1)
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in network.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_network_learns_to_copy_a_few_segments_by_heart(name: str) -> None:
    network = fresh(name).train()
    source = torch.tensor([[9, 17, 23, END], [33, 8, END, PAD], [7, 25, 4, END], [30, 11, END, PAD]])
    target = torch.cat([torch.full((4, 1), BEGIN), source], 1)
    real = target[:, 1:] != PAD
    learning_rate, steps = LEARNING[SHAPES[name][0]]
    optimiser = torch.optim.Adam(network.parameters(), lr=learning_rate, fused=True)
    for _ in range(steps):
        optimiser.zero_grad()
        loss = F.cross_entropy(network.logits(network(source, target[:, :-1])[real]), target[:, 1:][real])
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    best = all_scores(network.eval(), source, target[:, :-1]).argmax(-1)
    assert torch.equal(best[real], target[:, 1:][real])
