"""Label-smoothed cross entropy over real target pieces."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from dragoman.model.architectures.transformer import Transformer
from dragoman.model.training.data import Example
from dragoman.model.training.loss import TrainingLoss, make_batch, padding
from dragoman.model.vocabularies.vocabulary import BEGIN, END, PAD

SHORT, LONG = Example([5, END], [BEGIN, 6, END]), Example([7, 8, 9, END], [BEGIN, 7, 9, 8, END])


@pytest.fixture
def network(tiny_network: Callable[[int, int], Transformer]) -> Transformer:
    return tiny_network(20, 1)


def loss_of(network: Transformer, *examples: Example, smoothing: float = 0.1) -> torch.Tensor:
    batch = make_batch(examples)
    loss: torch.Tensor = TrainingLoss(network, smoothing)(batch.source, batch.target, batch.places, batch.wanted)
    return loss


def test_batch_of_two_loses_what_they_lose_alone(network: Transformer) -> None:
    together = loss_of(network, SHORT, LONG)

    assert together.item() == pytest.approx((loss_of(network, SHORT) + loss_of(network, LONG)).item(), rel=1e-5)


def test_loss_is_the_cross_entropy_of_each_next_piece(network: Transformer) -> None:
    scores = network.logits(network(torch.tensor([LONG.source]), torch.tensor([LONG.target[:-1]])))[0]
    expected = F.cross_entropy(scores, torch.tensor(LONG.target[1:]), reduction="sum", label_smoothing=0.2)

    assert loss_of(network, LONG, smoothing=0.2).item() == pytest.approx(expected.item())


def test_padding_never_reaches_the_output_layer(network: Transformer, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[int] = []
    real = network.logits
    monkeypatch.setattr(network, "logits", lambda hidden: rows.append(len(hidden)) or real(hidden))
    loss_of(network, SHORT, LONG)

    assert rows == [2 + 4]


def test_batch_holds_what_is_to_be_predicted_and_where() -> None:
    batch = make_batch([SHORT, LONG])

    assert batch.target.tolist() == [[BEGIN, 6, END, PAD], [BEGIN, 7, 9, 8]]
    assert (batch.places.tolist(), batch.wanted.tolist()) == ([0, 1, 4, 5, 6, 7], [6, END, 7, 9, 8, END])
    assert batch.target_pieces == 6


def test_padding_counts_both_sides() -> None:
    assert padding([SHORT, LONG]) == (2 + 4 + 3 + 5, 2 * (4 + 5))
