"""The averaged network of a run."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from dragoman.model.architectures.transformer import Transformer
from dragoman.model.training.average import Average, set_weights, weights
from dragoman.model.training.config import RunConfig


@pytest.fixture
def network(tiny_network: Callable[[int, int], Transformer]) -> Transformer:
    return tiny_network(20, 1)


def fill(network: Transformer, value: float) -> None:
    for parameter in network.parameters():
        parameter.fill_(value)


def value_of(average: Average) -> float:
    return float(average.network.get_parameter("embedding.weight")[3, 0])


def averaged(network: Transformer, **run: Any) -> Average:
    fill(network, 0.0)
    return Average(network, RunConfig(**run))


def test_moving_average_goes_towards_the_network_after_each_step(network: Transformer) -> None:
    average = averaged(network, average="ema", average_decay=0.75)
    fill(network, 1.0)
    average.after_step(1000)
    average.after_step(1001)

    assert value_of(average) == pytest.approx(1 - 0.75**2)


def test_moving_average_forgets_early_steps_faster(network: Transformer) -> None:
    average = averaged(network, average="ema", average_decay=0.999)
    fill(network, 1.0)
    average.after_step(0)

    assert value_of(average) == pytest.approx(0.9)


def test_average_of_the_last_is_the_mean_of_the_last_snapshots(network: Transformer) -> None:
    average = averaged(network, average="last", average_last=2)
    for value in (9.0, 1.0, 2.0):
        fill(network, value)
        average.after_step(7)
        average.before_evaluation()

    assert value_of(average) == pytest.approx(1.5)


def test_average_is_the_network_when_nothing_is_averaged(network: Transformer) -> None:
    average = averaged(network, average="none")
    fill(network, 3.0)
    average.after_step(7)
    average.before_evaluation()

    assert value_of(average) == 3.0


def test_weights_are_a_copy(network: Transformer) -> None:
    before = network.get_parameter("embedding.weight").clone()
    copied = weights(network)
    fill(network, 5.0)

    assert torch.equal(copied["embedding.weight"], before)


def test_weights_are_set_by_name(network: Transformer, tiny_network: Callable[[int, int], Transformer]) -> None:
    other = tiny_network(20, 2)
    set_weights(other, weights(network))

    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), other.parameters(), strict=True))
