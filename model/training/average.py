"""What a run ships: an average of the weights it passed through. Knows parameters only.

Exponential moving average: Polyak and Juditsky 1992; average of the last checkpoints: Vaswani et al. 2017.
"""

import copy
from collections import deque
from collections.abc import Mapping

import torch
from torch import Tensor

from ..architectures.network import Network
from .config import RunConfig

Weights = dict[str, Tensor]


class Average:
    """The averaged network of a run: moving after each step ("ema"), or the mean of the last snapshots ("last")."""

    def __init__(self, network: Network, config: RunConfig) -> None:
        self._current = network
        self._config = config
        self.network = copy.deepcopy(network).eval().requires_grad_(requires_grad=False)
        self.snapshots: deque[Weights] = deque(maxlen=config.average_last)

    @torch.no_grad()
    def after_step(self, step: int) -> None:
        """Move towards the network as it is after `step` steps; early ones are forgotten faster."""
        if self._config.average != "ema":
            return
        decay = min(self._config.average_decay, (1 + step) / (10 + step))
        averages: list[Tensor] = list(self.network.parameters())
        parameters: list[Tensor] = list(self._current.parameters())
        torch._foreach_lerp_(averages, parameters, 1 - decay)

    @torch.no_grad()
    def before_evaluation(self) -> None:
        """Take a snapshot, where snapshots are averaged; afterwards `network` is what would be shipped now."""
        if self._config.average == "ema":
            return
        if self._config.average == "last":
            self.snapshots.append(weights(self._current))
        for name, parameter in self.network.named_parameters():
            kept = [snapshot[name] for snapshot in self.snapshots] or [self._current.get_parameter(name)]
            parameter.copy_(torch.stack([tensor.to(parameter.device) for tensor in kept]).mean(0))


@torch.no_grad()
def weights(network: Network) -> Weights:
    """A copy of every parameter, on the CPU, by name."""
    return {name: parameter.detach().to("cpu", copy=True) for name, parameter in network.named_parameters()}


@torch.no_grad()
def set_weights(network: Network, stored: Mapping[str, Tensor]) -> None:
    """Give every parameter its stored value; raises KeyError or RuntimeError where one is missing or misshapen."""
    for name, parameter in network.named_parameters():
        parameter.copy_(stored[name])
