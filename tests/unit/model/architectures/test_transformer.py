"""The network: one step at a time equals all at once, and padding changes nothing."""

import math
from collections.abc import Callable

import pytest
import torch
from dragoman.model.architectures.transformer import Dropout, Transformer, sinusoids
from dragoman.model.vocabularies.vocabulary import BEGIN, END, PAD

SOURCE = torch.tensor([[9, 17, 23, 41, END], [33, 8, END, PAD, PAD]])
TARGET = torch.tensor([[BEGIN, 12, 50, 7, 30], [BEGIN, 44, 19, 19, 5]])


@pytest.fixture(scope="module")
def network(tiny_network: Callable[[int, int], Transformer]) -> Transformer:
    return tiny_network(60, 3)


def stepwise_logits(network: Transformer, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    state = network.start(source)
    return torch.stack([network.step(column, state) for column in target.T], 1)


def test_stepwise_logits_equal_those_of_the_full_forward(network: Transformer) -> None:
    full = network.logits(network(SOURCE, TARGET))

    assert torch.allclose(stepwise_logits(network, SOURCE, TARGET), full, rtol=0, atol=1e-5)


def test_row_is_the_same_when_padded_beside_a_longer_one(network: Transformer) -> None:
    alone = network.logits(network(SOURCE[1:, :3], TARGET[1:]))

    assert torch.allclose(network.logits(network(SOURCE, TARGET))[1:], alone, rtol=0, atol=1e-5)


def test_position_sees_no_later_target_piece(network: Transformer) -> None:
    changed = TARGET.clone()
    changed[:, 3:] = 25

    assert torch.allclose(network(SOURCE, changed)[:, :3], network(SOURCE, TARGET)[:, :3], rtol=0, atol=1e-6)


def test_select_repeats_and_reorders_rows(network: Transformer) -> None:
    rows = torch.tensor([1, 0, 1])
    expected = stepwise_logits(network, SOURCE, TARGET)[rows]

    state = network.start(SOURCE)
    first = network.step(TARGET[:, 0], state)[rows]
    state.select(rows)
    later = [network.step(column, state) for column in TARGET[rows, 1:].T]

    assert torch.allclose(torch.stack([first, *later], 1), expected, rtol=0, atol=1e-5)


def test_select_works_before_the_first_step(network: Transformer) -> None:
    state = network.start(SOURCE)
    state.select(torch.tensor([1]))

    expected = network.step(TARGET[:, 0], network.start(SOURCE))[1:]
    assert torch.allclose(network.step(TARGET[1:, 0], state), expected, rtol=0, atol=1e-5)


def test_sinusoids_begin_with_zeros_and_ones() -> None:
    assert sinusoids(3, 6)[0].tolist() == [0, 1, 0, 1, 0, 1]


def test_sinusoids_turn_slower_from_column_to_column() -> None:
    expected = [math.sin(1.0), math.cos(1.0), math.sin(0.01), math.cos(0.01)]

    assert sinusoids(2, 4)[1].tolist() == pytest.approx(expected, abs=1e-6)


def test_network_has_no_weight_for_the_padding_piece(network: Transformer) -> None:
    assert network.embedding.weight[PAD].abs().sum() == 0


def test_dropout_drops_a_feature_at_all_positions_of_a_segment() -> None:
    torch.manual_seed(0)
    dropped = Dropout(0.5).train()(torch.ones(4, 9, 32))

    assert torch.equal(dropped, dropped[:, :1].expand(4, 9, 32))
    assert set(dropped.unique().tolist()) == {0.0, 2.0}


def test_dropout_does_nothing_outside_training() -> None:
    x = torch.ones(2, 3, 4)

    assert Dropout(0.5).eval()(x) is x
