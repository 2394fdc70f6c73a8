"""Muon's orthogonal update, who optimises what, and what optimisers remember."""

import pytest
import torch
from dragoman.errors import ConfigurationError
from dragoman.model.architectures.transformer import Transformer, TransformerConfig
from dragoman.model.training.config import OptimiserConfig
from dragoman.model.training.optimiser import (
    Muon,
    optimiser_tensors,
    optimisers,
    orthogonalised,
    restore_optimisers,
    set_learning_rate,
)
from dragoman.model.training.precision import Precision
from hypothesis import given, settings
from hypothesis import strategies as st

SHAPE = TransformerConfig(60, width=16, heads=2, feed_forward=32, encoder_layers=1, decoder_layers=1)


PRECISIONS = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])


@PRECISIONS
@settings(deadline=None, max_examples=25, derandomize=True)
@given(rows=st.integers(2, 24), columns=st.integers(2, 24), seed=st.integers(0, 999))
def test_update_has_singular_values_of_about_one(dtype: torch.dtype, rows: int, columns: int, seed: int) -> None:
    matrix = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    # Singular values within a factor of ten of each other: five iterations do not lift the very small ones.
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    spread = left @ torch.diag(torch.linspace(0.1, 1, min(rows, columns))) @ right

    values = torch.linalg.svdvals(orthogonalised(spread, dtype))
    assert 0.6 < float(values.min()) <= float(values.max()) < 1.3


@PRECISIONS
def test_update_keeps_the_directions_of_the_matrix(dtype: torch.dtype) -> None:
    assert torch.linalg.det(orthogonalised(torch.tensor([[3.0, 1.0], [-1.0, 2.0]]), dtype)) > 0


@PRECISIONS
def test_update_of_nothing_is_nothing(dtype: torch.dtype) -> None:
    assert orthogonalised(torch.zeros(3, 5), dtype).abs().sum() == 0


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_muon_goes_downhill(precision: Precision) -> None:
    torch.manual_seed(0)
    start, wanted = torch.randn(8, 8), torch.randn(8, 8)
    matrix = torch.nn.Parameter(start.clone())
    muon = Muon([matrix], OptimiserConfig(muon_learning_rate=0.1, weight_decay=0.0), precision)
    for _ in range(100):
        muon.zero_grad()
        (matrix - wanted).square().sum().backward()  # type: ignore[no-untyped-call]
        muon.step()

    assert float((matrix.detach() - wanted).norm()) < float((start - wanted).norm()) / 2
    assert matrix.dtype == muon.state[matrix]["momentum"].dtype == torch.float32


def test_precision_of_the_run_is_that_of_the_update() -> None:
    updates = []
    for precision in ("fp32", "bf16"):
        matrix = torch.nn.Parameter(torch.zeros(6, 6))
        matrix.grad = torch.randn(6, 6, generator=torch.Generator().manual_seed(2))
        Muon([matrix], OptimiserConfig(), precision).step()
        updates.append(matrix.detach())

    assert not torch.equal(*updates)
    torch.testing.assert_close(*updates, rtol=0.1, atol=1e-3)


def test_muon_leaves_a_parameter_without_gradient() -> None:
    matrix = torch.nn.Parameter(torch.ones(2, 2))
    Muon([matrix], OptimiserConfig(muon_learning_rate=1.0, weight_decay=0.5), "fp32").step()

    assert torch.equal(matrix, torch.ones(2, 2))


def names_of(optimiser: torch.optim.Optimizer, network: Transformer) -> set[str]:
    chosen = {id(parameter) for group in optimiser.param_groups for parameter in group["params"]}
    return {name for name, parameter in network.named_parameters() if id(parameter) in chosen}


def test_adamw_takes_every_parameter() -> None:
    network = Transformer(SHAPE)
    [adamw] = optimisers(network, OptimiserConfig(method="adamw"), "fp32")

    assert names_of(adamw, network) == {name for name, _ in network.named_parameters()}


def test_muon_takes_the_hidden_matrices_and_adamw_the_rest() -> None:
    network = Transformer(SHAPE)
    both = optimisers(network, OptimiserConfig(method="muon"), "fp32")
    adamw, muon = (names_of(optimiser, network) for optimiser in both)

    assert "embedding.weight" in adamw
    assert all(network.get_parameter(name).dim() == 2 for name in muon)
    assert (adamw | muon, adamw & muon) == ({name for name, _ in network.named_parameters()}, set())


def test_learning_rates_are_set_to_a_share_of_their_peaks() -> None:
    config = OptimiserConfig(method="muon", learning_rate=0.002, muon_learning_rate=0.04)
    both = optimisers(Transformer(SHAPE), config, "fp32")
    set_learning_rate(both, 0.3)
    set_learning_rate(both, 0.5)

    assert [group["lr"] for optimiser in both for group in optimiser.param_groups] == pytest.approx([0.001, 0.02])


def stepped(method: str, steps: int) -> tuple[Transformer, list[torch.optim.Optimizer]]:
    torch.manual_seed(3)
    network = Transformer(SHAPE)
    both = optimisers(network, OptimiserConfig.model_validate({"method": method}), "fp32")
    for _ in range(steps):
        step(network, both)
    return network, both


def step(network: Transformer, both: list[torch.optim.Optimizer]) -> None:
    sum(parameter.sin().sum() for parameter in network.parameters()).backward()  # type: ignore[union-attr]
    for optimiser in both:
        optimiser.step()
        optimiser.zero_grad()


@pytest.mark.parametrize("method", ["adamw", "muon"])
def test_restored_optimisers_go_on_with_the_same_bits(method: str) -> None:
    network, both = stepped(method, 2)
    copy, fresh = stepped(method, 0)
    copy.load_state_dict(network.state_dict())
    restore_optimisers(fresh, {name: tensor.clone() for name, tensor in optimiser_tensors(both).items()})
    step(network, both)
    step(copy, fresh)

    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), copy.parameters(), strict=True))


def test_state_of_other_optimisers_is_refused() -> None:
    _, both = stepped("muon", 1)
    _, one = stepped("adamw", 0)

    with pytest.raises(ConfigurationError, match="the state is of other optimisers"):
        restore_optimisers(one, optimiser_tensors(both))
