"""How to search: frozen values, checked when they are made. Knows no network and no tensors."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ...errors import ConfigurationError
from ..vocabularies.vocabulary import BEGIN, END, PAD

# "none" is the cheapest, "hard" fills `Hypothesis.alignment`, "soft" fills `Hypothesis.attention` too.
Alignment = Literal["none", "hard", "soft"]
# The target pieces that a translation may be made of: all, or those that the checkpoint's shortlist has for its source.
Choice = Literal["whole", "shortlist"]


@dataclass(frozen=True, slots=True)
class Sampling:
    """Draw each piece at random instead of taking the best; raises `ConfigurationError` for impossible values.

    Scores are divided by `temperature` (below 1 is more careful); of the pieces only the `top_k` likeliest (0: all)
    and of those only the fewest that have the probability `top_p` together can be drawn (Holtzman et al. 2020,
    arXiv:1904.09751). The same `seed` draws the same translation of a segment, whatever its neighbours.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        _require(0 < self.temperature < math.inf, f"the temperature is {self.temperature}: it must be above 0")
        _require(self.top_k >= 0, f"top-k is {self.top_k}: it counts pieces, 0 takes all")
        _require(0 < self.top_p <= 1, f"top-p is {self.top_p}: it is a probability above 0 and up to 1")
        _require(0 <= self.seed < 2**63, f"the seed is {self.seed}: it must be 0 or more and below 2**63")


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """How to search; raises `ConfigurationError` for values that contradict each other.

    `beam_size` 1 is greedy search; with `sampling` it plays no part. `n_best` hypotheses come back, best first: the
    best of the beam, or as many draws. The score of a hypothesis is

        log-probability / length ** length_penalty  +  coverage_penalty * coverage

    where END counts in the length and `coverage` is the sum over source positions of log(min(1, attention they got))
    (Wu et al. 2016, arXiv:1609.08144, whose length penalty is another); it needs an architecture with attention.
    A translation has at least `min_pieces`, if its limit allows, and at most `max_pieces` (None: the caller's
    limits); no sequence of `no_repeat_ngram` pieces comes twice (0: any may); it begins with the pieces `prefix`,
    which these rules do not touch. With `vocabulary` "shortlist" pieces are chosen, and probabilities are, over the
    segment's own shortlist alone, whatever its neighbours: quicker, and a piece that is not on it cannot come.
    """

    beam_size: int = 4
    length_penalty: float = 1.0
    coverage_penalty: float = 0.0
    n_best: int = 1
    min_pieces: int = 0
    max_pieces: int | None = None
    no_repeat_ngram: int = 0
    prefix: tuple[int, ...] = ()
    sampling: Sampling | None = None
    alignment: Alignment = "none"
    vocabulary: Choice = "whole"

    def __post_init__(self) -> None:
        _require(self.beam_size >= 1, f"a beam of {self.beam_size} holds nothing: take 1 (greedy) or more")
        _require(self.n_best >= 1, f"{self.n_best} best hypotheses are none: take 1 or more")
        _require(
            self.sampling is not None or self.n_best <= self.beam_size,
            f"a beam of {self.beam_size} has no {self.n_best} best hypotheses: widen the beam, or sample",
        )
        _require(math.isfinite(self.length_penalty), f"the length penalty is {self.length_penalty}: take a number")
        _require(
            0 <= self.coverage_penalty < math.inf,
            f"the coverage penalty is {self.coverage_penalty}: it must be 0 (none) or more",
        )
        _require(self.no_repeat_ngram >= 0, f"{self.no_repeat_ngram}-grams do not exist: take 0 (off) or more")
        self._check_lengths()

    def finished_score(self, log_probability: float, pieces: int, coverage: float = 0.0) -> float:
        """The score of a hypothesis of so many pieces and END."""
        return log_probability / float((pieces + 1) ** self.length_penalty) + self.coverage_penalty * coverage

    @property
    def looks_at_attention(self) -> bool:
        return self.coverage_penalty > 0 or self.alignment != "none"

    def _check_lengths(self) -> None:
        _require(self.min_pieces >= 0, f"at least {self.min_pieces} pieces makes no sense: take 0 or more")
        if self.max_pieces is not None:
            _require(self.max_pieces >= 0, f"at most {self.max_pieces} pieces makes no sense: take 0 or more")
            _require(
                self.min_pieces <= self.max_pieces,
                f"at least {self.min_pieces} and at most {self.max_pieces} pieces contradict each other",
            )
            check_prefix(self.prefix, self.max_pieces)


def check_prefix(prefix: Sequence[int], limit: int) -> None:
    """Raise `ConfigurationError` for a prefix that no translation of `limit` pieces can begin with."""
    _require(not {PAD, BEGIN, END} & set(prefix), "a prefix holds pieces of text: no PAD, BEGIN or END")
    _require(
        len(prefix) <= limit,
        f"a prefix of {len(prefix)} pieces does not fit a translation of at most {limit}: allow more pieces",
    )


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise ConfigurationError(otherwise)
