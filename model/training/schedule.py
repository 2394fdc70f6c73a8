"""The learning-rate schedules, as shares of the peak. Pure arithmetic.

Cosine: Loshchilov and Hutter 2017, arXiv:1608.03983. Inverse square root: Vaswani et al. 2017, arXiv:1706.03762.
Constant, then linear to zero: Zhai et al. 2022, arXiv:2106.04560.
"""

import math

from .config import OptimiserConfig

# What the cosine ends at: a run whose minutes are over takes a few last steps.
COSINE_FLOOR = 0.02


def schedule(config: OptimiserConfig, step: int, progress: float) -> float:
    """Share of the peak learning rate after `step` steps, with `progress` (0 to 1) of the run behind us."""
    warmth = min(1.0, (step + 1) / config.warmup_steps)
    progress = min(1.0, progress)
    if config.schedule == "inverse-sqrt":
        return min(warmth, math.sqrt(config.warmup_steps / (step + 1)))
    if config.schedule == "linear":
        return warmth * min(1.0, (1 - progress) / config.decay_share)
    return warmth * (COSINE_FLOOR + (1 - COSINE_FLOOR) * 0.5 * (1 + math.cos(math.pi * progress)))
