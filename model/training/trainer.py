"""One step after another: gradients, clipping, update, average. Knows network and optimisers; no files, no clock."""

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ...errors import ConfigurationError, DragomanError
from ..architectures.network import Network
from .average import Average, set_weights, weights
from .config import TrainConfig
from .data import Example
from .distributed import Processes
from .loss import TrainingLoss, make_batch
from .optimiser import optimiser_tensors, optimisers, restore_optimisers, set_learning_rate
from .precision import arithmetic, chosen_precision, compiling_pays
from .schedule import schedule
from .state import named

# Steps between two looks at the numbers on a GPU: looking waits until it has done all it was given.
STEPS_BETWEEN_CHECKS = 20


class TrainingDivergedError(DragomanError):
    """The loss or its gradient is not a number any more; what was saved before is untouched."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What all processes agree on before a step: target pieces of all batches, and how far the run is (0 to 1)."""

    pieces: float
    progress: float


class Trainer:
    """A network, its average and its optimisers, on one device."""

    def __init__(self, network: Network, config: TrainConfig, processes: Processes) -> None:
        self.processes = processes
        self.device = processes.device
        self.network = network.to(self.device).requires_grad_()
        self.average = Average(self.network, config.run)
        self._precision = chosen_precision(config.run.precision, self.device)
        self.optimisers = optimisers(self.network, config.optimiser, self._precision)
        self.step = 0
        self.learning_rate = 0.0
        self._config = config.optimiser
        loss = TrainingLoss(self.network, config.optimiser.label_smoothing)
        if compiling_pays(config.run.compile, self.device):
            loss.compile(dynamic=True)
        self._loss = processes.wrapped(loss)
        # Sums since the last report and the last check; one number that is not finite makes its sum so.
        self._losses, self._norms = torch.zeros((), device=self.device), torch.zeros((), device=self.device)
        self._pieces = 0

    def train(self, group: Sequence[Sequence[Example]], moment: Moment) -> None:
        """Take one step on the batches of `group`, each target piece of all processes weighing the same."""
        factor = schedule(self._config, self.step, moment.progress)
        set_learning_rate(self.optimisers, factor)
        self.learning_rate = self._config.learning_rate * factor
        self.network.train()
        for number, examples in enumerate(group, 1):
            with self._without_exchange() if number < len(group) else nullcontext():
                self._backward(examples, moment.pieces)
        self._norms += nn.utils.clip_grad_norm_(self.network.parameters(), self._config.clip_norm)
        if self.device.type == "cpu" or self.step % STEPS_BETWEEN_CHECKS == 0:
            self.check()
        for optimiser in self.optimisers:
            optimiser.step()
            optimiser.zero_grad()
        self.average.after_step(self.step)
        self.step += 1

    def check(self) -> None:
        """Raise `TrainingDivergedError` if a number of the steps so far is not finite; waits for the GPU."""
        for name, total in (("loss", self._losses), ("gradient", self._norms)):
            value = float(total)
            if not math.isfinite(value):
                raise TrainingDivergedError(
                    f"the {name} is {value} at step {self.step}: lower optimiser.learning_rate or raise warmup_steps; "
                    "the last checkpoint and the last state are untouched"
                )
        self._norms.zero_()

    def mean_loss(self) -> float:
        """Loss a target piece of this process since the last call; NaN if there was no step."""
        mean = float(self._losses) / self._pieces if self._pieces else math.nan
        self._losses.zero_()
        self._pieces = 0
        return mean

    def tensors(self) -> dict[str, Tensor]:
        """All that a resumed run needs of networks and optimisers."""
        snapshots = {
            f"{number}/{name}": tensor
            for number, snapshot in enumerate(self.average.snapshots)
            for name, tensor in snapshot.items()
        }
        return (
            named("network", weights(self.network))
            | named("average", weights(self.average.network))
            | named("snapshot", snapshots)
            | named("optimiser", optimiser_tensors(self.optimisers))
        )

    def restore(self, parts: Mapping[str, Mapping[str, Tensor]], step: int) -> None:
        """Go back to what `tensors` gave, by part; raises `ConfigurationError` if it is of another network."""
        try:
            set_weights(self.network, parts["network"])
            set_weights(self.average.network, parts["average"])
            restore_optimisers(self.optimisers, parts["optimiser"])
        except (KeyError, RuntimeError, ValueError) as error:
            raise ConfigurationError(f"the state does not fit the network of this config: {error}") from error
        snapshots: dict[int, dict[str, Tensor]] = {}
        for name, tensor in parts["snapshot"].items():
            number, parameter = name.split("/", 1)
            snapshots.setdefault(int(number), {})[parameter] = tensor
        self.average.snapshots.extend(snapshots[number] for number in sorted(snapshots))
        self.step = step

    def _backward(self, examples: Sequence[Example], all_pieces: float) -> None:
        batch = make_batch(examples).to(self.device)
        with arithmetic(self._precision, self.device):
            loss = self._loss(batch.source, batch.target, batch.places, batch.wanted)
        self._losses += loss.detach()
        self._pieces += batch.target_pieces
        # DistributedDataParallel divides by the number of processes; here every target piece weighs the same.
        (loss * (self.processes.count / all_pieces)).backward()

    def _without_exchange(self) -> AbstractContextManager[None]:
        return self._loss.no_sync() if isinstance(self._loss, DistributedDataParallel) else nullcontext()
