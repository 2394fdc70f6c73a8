"""How a Transformer tells positions apart. Knows numbers only: everything here is computed, nothing is learned.

Letters: T positions, D width, d width of one head.
"""

import math
from typing import Literal

import torch
from torch import Tensor

Positions = Literal["sinusoidal", "sinusoidal-halves", "learned", "rotary"]
# The longest wavelength is 10,000 * 2 pi positions (Vaswani et al. 2017); rotary positions took the number over.
BASE = 10_000.0


def sinusoids(count: int, width: int) -> Tensor:
    """Position codes (count, width): sine on even columns, cosine on odd ones (arXiv:1706.03762)."""
    angles = torch.arange(count)[:, None] * torch.exp(torch.arange(0, width, 2) * (-math.log(BASE) / width))
    codes = torch.empty(count, width)
    codes[:, 0::2], codes[:, 1::2] = angles.sin(), angles[:, : width // 2].cos()
    return codes


def sinusoids_in_halves(count: int, width: int) -> Tensor:
    """Position codes (count, width): all sines, then all cosines, as Marian lays them out.

    The frequencies are those of `sinusoids`: only the order of the columns differs.
    """
    frequencies = BASE ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    angles = torch.arange(count, dtype=torch.float64)[:, None] * frequencies
    return torch.cat([angles.sin(), angles[:, : width // 2].cos()], 1).float()


def rotations(count: int, head_width: int) -> Tensor:
    """Cosine and sine (count, d/2, 2) of the angle by which each pair of a head's features turns at each position.

    RoFormer: Su et al. 2021, arXiv:2104.09864.
    """
    frequencies = BASE ** (-torch.arange(0, head_width, 2, dtype=torch.float64) / head_width)
    angles = torch.arange(count, dtype=torch.float64)[:, None] * frequencies
    return torch.stack([angles.cos(), angles.sin()], -1).float()


def rotate(x: Tensor, rotation: Tensor) -> Tensor:
    """Turn queries or keys x (B, H, T, d): features 2i and 2i+1 are a pair; `rotation` (T, d/2, 2)."""
    first, second = x[..., 0::2], x[..., 1::2]  # (B, H, T, d) -> two of (B, H, T, d/2)
    cosine, sine = rotation.unbind(-1)
    turned = torch.stack([first * cosine - second * sine, first * sine + second * cosine], -1)
    return turned.flatten(-2).type_as(x)  # (B, H, T, d/2, 2) -> (B, H, T, d)
