"""One step of training: how batches add up."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from dragoman.errors import ConfigurationError
from dragoman.model.architectures.transformer import Transformer
from dragoman.model.training.config import TrainConfig
from dragoman.model.training.data import Example
from dragoman.model.training.distributed import Processes
from dragoman.model.training.trainer import Moment, Trainer
from dragoman.model.vocabularies.vocabulary import BEGIN, END

MakeConfig = Callable[..., TrainConfig]
MakeTrainer = Callable[..., Trainer]

SHORT, LONG = Example([5, END], [BEGIN, 6, END]), Example([7, 8, 9, END], [BEGIN, 7, 9, 8, END])
PIECES = 6.0


@pytest.fixture
def make_trainer(make_config: MakeConfig, tiny_network: Callable[[int, int], Transformer]) -> MakeTrainer:
    """Makes a trainer of a network without dropout; keyword arguments as in `make_config`."""

    def make(**changes: Any) -> Trainer:
        network = tiny_network(20, 1)
        for module in network.modules():
            setattr(module, "probability", 0.0)  # noqa: B010 - of those that drop; the others do not mind
        return Trainer(network, make_config(**changes), Processes(0, 1, torch.device("cpu")))

    return make


def stepped(trainer: Trainer) -> Trainer:
    for _ in range(3):
        trainer.train([[SHORT, LONG]], Moment(PIECES, 0.0))
    return trainer


def gradients(trainer: Trainer, *group: Sequence[Example]) -> list[torch.Tensor]:
    """As they reach the optimiser."""
    seen: list[torch.Tensor] = []

    def keep(*_: object) -> None:
        seen.extend(p.grad.clone() for p in trainer.network.parameters() if p.grad is not None)

    trainer.optimisers[0].register_step_pre_hook(keep)
    trainer.train(group, Moment(PIECES, 0.0))
    return seen


def test_accumulated_batches_weigh_every_target_piece_the_same(make_trainer: MakeTrainer) -> None:
    together, apart = gradients(make_trainer(), [SHORT, LONG]), gradients(make_trainer(), [SHORT], [LONG])

    assert len(together) > 10
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(together, apart, strict=True))


def test_step_of_bf16_goes_about_where_one_of_fp32_goes(make_trainer: MakeTrainer) -> None:
    exact, rough = stepped(make_trainer()), stepped(make_trainer(run={"precision": "bf16"}))
    losses = exact.mean_loss(), rough.mean_loss()

    assert losses[0] != losses[1] == pytest.approx(losses[0], rel=0.02)
    assert {parameter.dtype for parameter in rough.network.parameters()} == {torch.float32}


def test_gradient_is_clipped(make_trainer: MakeTrainer) -> None:
    clipped = gradients(make_trainer(optimiser={"clip_norm": 1e-3}), [SHORT, LONG])

    assert float(torch.cat([gradient.flatten() for gradient in clipped]).norm()) == pytest.approx(1e-3, rel=0.01)


def test_learning_rate_follows_the_schedule(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(optimiser={"learning_rate": 0.5, "warmup_steps": 4})
    rates = []
    for _ in range(3):
        trainer.train([[SHORT]], Moment(2.0, 0.0))
        rates.append(trainer.learning_rate)

    assert rates == pytest.approx([0.125, 0.25, 0.375])


def test_mean_loss_begins_anew(make_trainer: MakeTrainer) -> None:
    trainer = stepped(make_trainer())

    assert 0 < trainer.mean_loss() < 10
    assert torch.isnan(torch.tensor(trainer.mean_loss()))


def test_state_of_another_network_is_refused(make_trainer: MakeTrainer) -> None:
    parts: dict[str, dict[str, torch.Tensor]] = {"network": {}, "average": {}, "snapshot": {}, "optimiser": {}}

    with pytest.raises(ConfigurationError, match="the state does not fit the network of this config"):
        make_trainer().restore(parts, 3)
