"""Draws pieces at random, each row with its own numbers. Knows no network.

Letters: N rows, V vocabulary, C pieces that can be drawn.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from .options import Sampling

# Large and odd, from the hash function xxHash.
MIXING_FACTORS = (0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9)


class Sampler:
    """Draws for N rows; row i draws with numbers that its seed and its draws so far decide, nothing else."""

    def __init__(self, sampling: Sampling, seeds: Sequence[tuple[int, int]], draws: Sequence[int]) -> None:
        """Of each row the seed of its segment and its number there, and how many pieces it may need at most."""
        self._sampling = sampling
        self._numbers = [
            _random_numbers((sampling.seed, *seed), count) for seed, count in zip(seeds, draws, strict=True)
        ]

    def choose(self, allowed: Tensor, rows: Sequence[int], position: int) -> Tensor:
        """A piece (N,) for each of `rows`, from its log-probabilities (N, V); -inf is never drawn."""
        numbers = torch.tensor([self._numbers[row][position] for row in rows], dtype=torch.float64)
        shares, pieces = self._shares(allowed / self._sampling.temperature)
        until = shares.cumsum(-1, dtype=torch.float64)
        # Inverse of the cumulative distribution; the last column takes what rounding leaves over.
        wanted = numbers.to(allowed.device)[:, None] * until[:, -1:]
        places = (until <= wanted).sum(-1, keepdim=True)
        last = (shares > 0).cumsum(-1).argmax(-1, keepdim=True)
        places = places.minimum(last)
        return (places if pieces is None else pieces.gather(-1, places)).squeeze(-1)

    def _shares(self, allowed: Tensor) -> tuple[Tensor, Tensor | None]:
        """Shares (N, C) of the pieces (N, C) that can be drawn; without pieces, C is V."""
        sampling, pieces = self._sampling, None
        if sampling.top_k or sampling.top_p < 1:
            count = min(sampling.top_k or allowed.shape[-1], allowed.shape[-1])
            allowed, pieces = allowed.topk(count)  # sorted, best first
        shares = allowed.softmax(-1)
        if sampling.top_p < 1:
            before = shares.cumsum(-1, dtype=torch.float64) - shares
            shares = shares.masked_fill(before >= sampling.top_p, 0.0)
        return shares, pieces


def _random_numbers(seeds: tuple[int, int, int], count: int) -> list[float]:
    """Numbers from 0 up to 1; always made on the CPU, so that every device draws the same."""
    # Odd factors mix the seeds into one: neighbouring seeds must not share their numbers.
    mixed = sum(seed * factor for seed, factor in zip(seeds, MIXING_FACTORS, strict=True)) % 2**63
    generator = torch.Generator().manual_seed(mixed)
    numbers: list[float] = torch.rand(count, generator=generator, dtype=torch.float64).tolist()
    return numbers
