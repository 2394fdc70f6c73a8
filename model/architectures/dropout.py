"""Dropout that keeps one mask for a whole segment. Knows tensors only."""

import torch.nn.functional as F
from torch import Tensor, nn


class Dropout(nn.Module):
    """Drops whole features of a segment: one mask for all positions (Gal and Ghahramani 2016, arXiv:1512.05287).

    Drawing random numbers for every position takes a tenth of a training step on a CPU.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, D) -> the same shape; does nothing outside training."""
        mask = self.mask(x)
        return x if mask is None else x * mask

    def mask(self, x: Tensor) -> Tensor | None:
        """What to multiply x (B, T, D) with: (B, 1, D), or None outside training.

        For a decoder that runs step by step and must drop the same features at every step.
        """
        if not self.training or self.probability == 0:
            return None
        return F.dropout(x.new_ones(x.shape[0], 1, x.shape[2]), self.probability)
