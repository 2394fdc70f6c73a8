"""Label-smoothed cross entropy of a batch. Knows tensors; padding never reaches the output layer.

Label smoothing: Szegedy et al. 2016, arXiv:1512.00567. Letters: B batch, S source length, T target length, R real
target pieces (BEGIN not counted), D width, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..architectures.network import Network
from ..translator import pad
from ..vocabularies.vocabulary import PAD
from .data import Example


@dataclass(frozen=True, slots=True)
class Batch:
    """Tensors of one batch: source (B, S), target without its last place (B, T), and the R pieces to predict.

    `places` (R,) says where in B * T each of `wanted` (R,) is predicted.
    """

    source: Tensor
    target: Tensor
    places: Tensor
    wanted: Tensor

    @property
    def target_pieces(self) -> int:
        return len(self.wanted)

    def to(self, device: torch.device) -> "Batch":
        """The batch on `device`; a copy to CUDA runs beside the computation."""
        if device.type == "cpu":
            return self
        tensors = (self.source, self.target, self.places, self.wanted)
        return Batch(*(tensor.pin_memory().to(device, non_blocking=True) for tensor in tensors))


def make_batch(examples: Sequence[Example]) -> Batch:
    """Pad examples; what is real is found here, on the CPU, so that no GPU is waited for."""
    source = pad([example.source for example in examples])
    target = pad([example.target for example in examples])
    wanted = target[:, 1:].flatten()  # (B, T)
    places = (wanted != PAD).nonzero()[:, 0]
    return Batch(source, target[:, :-1].contiguous(), places, wanted[places])


def padding(examples: Sequence[Example]) -> tuple[int, int]:
    """Real and padded numbers of pieces of a batch, source and target together."""
    sources, targets = [len(example.source) for example in examples], [len(example.target) for example in examples]
    return sum(sources) + sum(targets), len(examples) * (max(sources) + max(targets))


class TrainingLoss(nn.Module):
    """Network and loss as one module, so that both are compiled and wrapped together."""

    def __init__(self, network: Network, label_smoothing: float) -> None:
        super().__init__()
        self.network = network
        self.label_smoothing = label_smoothing

    def forward(self, source: Tensor, target: Tensor, places: Tensor, wanted: Tensor) -> Tensor:
        """The loss summed over the R real target pieces."""
        hidden = self.network(source, target).flatten(0, 1)  # (B, T, D) -> (B * T, D)
        logits = self.network.logits(hidden.index_select(0, places))  # (R, V)
        return F.cross_entropy(logits.float(), wanted, reduction="sum", label_smoothing=self.label_smoothing)
