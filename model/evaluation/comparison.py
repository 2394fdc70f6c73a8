"""Is one translator better than another, or was it chance? Knows texts and scores, no translator.

Paired bootstrap resampling: Koehn 2004, aclanthology.org/W04-3250, as sacrebleu does it (two-sided).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import sacrebleu
from sacrebleu.significance import PairedTest

from .scores import reference_columns

# A difference that chance alone brings about more often than this is not called one.
SIGNIFICANT = 0.05


@dataclass(frozen=True, slots=True)
class Interval:
    """A score with the mean and the half width of its 95 % confidence interval over the resampled test sets."""

    score: float
    mean: float
    half_width: float

    def __str__(self) -> str:
        return (
            f"{self.score:.1f} (95 % between {self.mean - self.half_width:.1f} and {self.mean + self.half_width:.1f})"
        )


@dataclass(frozen=True, slots=True)
class PairedScore:
    """One metric of baseline and candidate; `p_value` is how often chance alone makes such a difference."""

    metric: str
    baseline: Interval
    candidate: Interval
    p_value: float
    signature: str

    @property
    def gain(self) -> float:
        return self.candidate.score - self.baseline.score

    @property
    def verdict(self) -> str:
        """Better, worse, or not to be told from chance."""
        if self.p_value >= SIGNIFICANT:
            return "no significant difference"
        return "better" if self.gain > 0 else "worse"


def compare(
    baseline: Sequence[str], candidate: Sequence[str], references: Sequence[Sequence[str]]
) -> tuple[PairedScore, ...]:
    """BLEU and chrF of two lists of translations of the same sources, by 1,000 resamplings, the same each time."""
    metrics = {"BLEU": sacrebleu.BLEU(), "chrF": sacrebleu.CHRF()}
    systems: list[tuple[str, Sequence[str]]] = [("baseline", baseline), ("candidate", candidate)]
    signatures, found = PairedTest(systems, metrics, reference_columns(references), test_type="bs")()
    return tuple(_paired(name, found[name], str(signatures[name])) for name in found if name != "System")


def _paired(metric: str, results: Sequence[object], signature: str) -> PairedScore:
    baseline, candidate = results
    before, after = _interval(baseline), _interval(candidate)
    # sacrebleu counts resampled differences above the real one: of none at all it makes the smallest p there is.
    p_value = float(getattr(candidate, "p_value", 1.0)) if before.score != after.score else 1.0
    return PairedScore(metric.removesuffix("2"), before, after, p_value, signature)


def _interval(result: object) -> Interval:
    score, mean, half_width = (float(getattr(result, name)) for name in ("score", "mean", "ci"))
    return Interval(score, mean, half_width)
