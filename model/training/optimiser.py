"""Optimisers. Knows parameters, no data.

AdamW: Loshchilov and Hutter 2019, arXiv:1711.05101. Muon: Jordan et al. 2024 (kellerjordan.github.io/posts/muon);
torch.optim.Muon orthogonalises in bfloat16, which processors without bf16 arithmetic run 50 times slower than fp32,
so the step is written out here, in the precision of the run.
"""

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn

from ...errors import ConfigurationError
from ..architectures.network import Network
from .config import OptimiserConfig
from .precision import Precision

# Coefficients of the quintic Newton-Schulz iteration, and how often it is applied, as Muon's authors give them.
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5


class Muon(torch.optim.Optimizer):
    """Momentum whose update is made orthogonal; for the matrices of hidden layers only."""

    def __init__(self, parameters: Iterable[nn.Parameter], config: OptimiserConfig, precision: Precision) -> None:
        defaults = {"lr": config.muon_learning_rate, "momentum": 0.95, "weight_decay": config.weight_decay}
        super().__init__(parameters, defaults)
        self._dtype = torch.bfloat16 if precision == "bf16" else torch.float32

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]  # noqa: ARG002
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                momentum = self.state[parameter].setdefault("momentum", torch.zeros_like(parameter))
                momentum.lerp_(parameter.grad, 1 - group["momentum"])
                update = orthogonalised(parameter.grad.lerp(momentum, group["momentum"]), self._dtype)
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                scale = max(1.0, parameter.shape[0] / parameter.shape[1]) ** 0.5
                parameter.add_(update, alpha=-group["lr"] * scale)


def orthogonalised(matrix: Tensor, dtype: torch.dtype) -> Tensor:
    """The nearest matrix whose singular values are about 1, by Newton-Schulz iteration in `dtype`."""
    a, b, c = NEWTON_SCHULZ
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    size: Tensor = torch.linalg.matrix_norm(x)
    x = (x / (size + 1e-7)).to(dtype)
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    result = x.T if matrix.shape[0] > matrix.shape[1] else x
    return result.to(matrix.dtype)


def optimisers(network: Network, config: OptimiserConfig, precision: Precision) -> list[torch.optim.Optimizer]:
    """AdamW for everything, or Muon for hidden matrices beside AdamW for embeddings, biases and norms.

    What they keep is fp32; in "bf16" Muon multiplies in it, as its authors do.
    """
    hidden = _hidden_matrices(network) if config.method == "muon" else []
    chosen = {id(parameter) for parameter in hidden}
    rest = [parameter for parameter in network.parameters() if id(parameter) not in chosen]
    result: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(
            rest, lr=config.learning_rate, betas=(0.9, 0.98), weight_decay=config.weight_decay, fused=True
        )
    ]
    if chosen:
        result.append(Muon(hidden, config, precision))
    for optimiser in result:
        for group in optimiser.param_groups:
            group["peak"] = group["lr"]
    return result


def set_learning_rate(all_optimisers: list[torch.optim.Optimizer], factor: float) -> None:
    """Set every learning rate to `factor` of its peak."""
    for optimiser in all_optimisers:
        for group in optimiser.param_groups:
            group["lr"] = group["peak"] * factor


def optimiser_tensors(all_optimisers: list[torch.optim.Optimizer]) -> dict[str, Tensor]:
    """What the optimisers remember, by "optimiser/parameter/name"."""
    return {
        f"{number}/{parameter}/{name}": tensor
        for number, optimiser in enumerate(all_optimisers)
        for parameter, remembered in optimiser.state_dict()["state"].items()
        for name, tensor in remembered.items()
    }


def restore_optimisers(all_optimisers: list[torch.optim.Optimizer], tensors: Mapping[str, Tensor]) -> None:
    """Give back what `optimiser_tensors` took; learning rates stay as they are configured."""
    states: list[dict[int, dict[str, Tensor]]] = [{} for _ in all_optimisers]
    for name, tensor in tensors.items():
        number, parameter, key = name.split("/")
        if int(number) >= len(states):
            raise ConfigurationError("the state is of other optimisers: start the run afresh")
        states[int(number)].setdefault(int(parameter), {})[key] = tensor
    for optimiser, state in zip(all_optimisers, states, strict=True):
        optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


def _hidden_matrices(network: Network) -> list[nn.Parameter]:
    """Matrices between layers: neither embeddings nor the output layer, which have a row for each piece."""
    embeddings = {
        id(parameter)
        for module in network.modules()
        if isinstance(module, nn.Embedding)
        for parameter in module.parameters()
    }
    pieces = network.config.vocabulary_size
    return [p for p in network.parameters() if p.dim() == 2 and pieces not in p.shape and id(p) not in embeddings]
