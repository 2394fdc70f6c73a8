"""How a version does, in figures, and whether another does worse. Pure: two-proportion tests of shares."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, median, quantiles

from ...model.text_faults import is_copy, is_loop
from ...storage.version_rows import VersionRow

# Fewer rows than this on either side say nothing.
FEWEST_ROWS = 200
# One-sided. Small, for the question is asked again every minute.
ALARM = 0.0005
# A rise that is real and smaller than this is left to people.
LEAST_RISE = 0.01
# A job is slow that takes so much longer than nineteen of twenty did before; and more of those may be chance of a load.
SLOW_FACTOR = 1.5
LEAST_SLOW_RISE = 0.1


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts of a version's latest rows, and its seconds: a sorted sample."""

    rows: int
    refused: int
    copies: int
    loops: int
    mean_score: float | None
    seconds: tuple[float, ...]

    @property
    def median_seconds(self) -> float | None:
        return median(self.seconds) if self.seconds else None

    @property
    def p95_seconds(self) -> float | None:
        return quantiles(self.seconds, n=20)[-1] if len(self.seconds) > 1 else None


def figures(rows: Sequence[VersionRow]) -> Figures:
    """Count the rows of a version."""
    texts = [(row.source_text, row.target_text) for row in rows]
    pairs = [(source, target) for source, target in texts if source is not None and target is not None]
    scores = [row.score for row in rows if row.score is not None]
    return Figures(
        rows=len(rows),
        refused=sum(row.status != "translated" for row in rows),
        copies=sum(is_copy(*pair) for pair in pairs),
        loops=sum(is_loop(*pair) for pair in pairs),
        mean_score=fmean(scores) if scores else None,
        seconds=tuple(sorted(row.seconds for row in rows if row.seconds is not None)),
    )


def harm(before: Figures, now: Figures) -> str | None:
    """What has become worse beyond chance, in a sentence; None = nothing, or too little is known."""
    for name in ("refused", "copies", "loops"):
        known, found = (getattr(before, name), before.rows), (getattr(now, name), now.rows)
        if is_rise(known, found, LEAST_RISE):
            return f"{_shares(known, found)} of its jobs are {WORDS[name]}"
    limit = SLOW_FACTOR * before.p95_seconds if before.p95_seconds is not None else math.inf
    known, found = ((sum(value > limit for value in one.seconds), len(one.seconds)) for one in (before, now))
    if is_rise(known, found, LEAST_SLOW_RISE):
        return f"{_shares(known, found)} of its jobs take longer than {limit:.2f} s"
    return None


WORDS = {"refused": "rejected or failed", "copies": "copies of the source", "loops": "repetition without end"}


def is_rise(before: tuple[int, int], now: tuple[int, int], least: float) -> bool:
    """Whether a share, given as (count, of), has risen by `least` and beyond chance."""
    if min(before[1], now[1]) < FEWEST_ROWS:
        return False
    rise = now[0] / now[1] - before[0] / before[1]
    together = (before[0] + now[0]) / (before[1] + now[1])
    deviation = math.sqrt(together * (1 - together) * (1 / before[1] + 1 / now[1]))
    return rise >= least and deviation > 0 and 1 - NormalDist().cdf(rise / deviation) < ALARM


def _shares(before: tuple[int, int], now: tuple[int, int]) -> str:
    return f"{now[0] / now[1]:.1%} (before: {before[0] / before[1]:.1%})"
