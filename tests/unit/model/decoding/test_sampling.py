"""Sampling draws what the probabilities say, and the same for a segment whatever its neighbours."""

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from dragoman.model.decoding import Hypothesis, Rows, Sampling, SearchOptions, search
from dragoman.model.decoding.sampling import Sampler
from dragoman.model.vocabularies.vocabulary import END

CPU = torch.device("cpu")
PROBABILITIES = torch.tensor([[0.5, 0.3, 0.0, 0.15, 0.05]])
DRAWS = 4_000


def shares(sampling: Sampling) -> list[float]:
    """How often each of five pieces is drawn."""
    rows = list(range(DRAWS))
    sampler = Sampler(sampling, [(row, 0) for row in rows], [1] * DRAWS)
    counts = Counter(sampler.choose(PROBABILITIES.log().expand(DRAWS, -1), rows, 0).tolist())
    return [counts[piece] / DRAWS for piece in range(5)]


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        (Sampling(), [0.5, 0.3, 0.0, 0.15, 0.05]),
        (Sampling(temperature=0.5), [0.25, 0.09, 0.0, 0.0225, 0.0025]),
        (Sampling(top_k=2), [0.5, 0.3, 0.0, 0.0, 0.0]),
        (Sampling(top_k=50), [0.5, 0.3, 0.0, 0.15, 0.05]),
        (Sampling(top_p=0.6), [0.5, 0.3, 0.0, 0.0, 0.0]),
        (Sampling(top_p=0.4), [1.0, 0.0, 0.0, 0.0, 0.0]),
        (Sampling(top_p=0.9, top_k=3), [0.5, 0.3, 0.0, 0.15, 0.0]),
    ],
)
def test_pieces_are_drawn_by_their_probability(sampling: Sampling, expected: list[float]) -> None:
    total = sum(expected)

    assert shares(sampling) == pytest.approx([share / total for share in expected], abs=4 * math.sqrt(0.25 / DRAWS))


def test_neighbouring_seeds_draw_differently() -> None:
    draws = {
        tuple(Sampler(Sampling(seed=seed), [(row, number)], [3])._numbers[0])
        for seed in range(4)
        for row in range(4)
        for number in range(4)
    }

    assert len(draws) == 64


def drawn(script: Any, seed: int, segments: int, n_best: int = 1) -> list[list[Hypothesis]]:
    rows = Rows((12,) * segments, CPU, seeds=tuple(range(10, 10 + segments)))
    options = SearchOptions(sampling=Sampling(seed=seed), n_best=n_best)
    return search(script.step, script.start(segments), rows, options)


def test_same_seed_draws_the_same(script: Any) -> None:
    assert drawn(script(1), 5, 4) == drawn(script(1), 5, 4)


def test_another_seed_draws_something_else(script: Any) -> None:
    assert drawn(script(1), 5, 4) != drawn(script(1), 6, 4)


def test_segment_is_drawn_alike_whatever_its_neighbours(script: Any) -> None:
    assert drawn(script(1), 5, 2) == drawn(script(1), 5, 6)[:2]


def test_more_draws_begin_with_the_same(script: Any) -> None:
    [one], [six] = drawn(script(1), 5, 1), drawn(script(1), 5, 1, n_best=6)

    assert len({candidate.pieces for candidate in six}) > 1
    assert one[0] in six
    assert six == sorted(six, key=lambda candidate: -candidate.score)


@dataclass
class Nothing:
    """A state without anything to remember."""

    def select(self, rows: torch.Tensor) -> None: ...


def test_careful_sampling_is_greedy_search() -> None:
    scores = torch.randn(6, 40, generator=torch.Generator().manual_seed(1))
    scores[:, END] = -30.0

    def step(last: torch.Tensor, _: Nothing) -> torch.Tensor:
        return scores[last % 6]

    rows = Rows((9,), CPU)
    [[careful]] = search(step, Nothing(), rows, SearchOptions(sampling=Sampling(temperature=0.001)))
    [[greedy]] = search(step, Nothing(), rows, SearchOptions(beam_size=1))
    assert careful == greedy
