"""Where pieces looked: alignments and the coverage penalty."""

import math
from typing import Any

import pytest
import torch
from dragoman.errors import ConfigurationError
from dragoman.model.decoding import Hypothesis, Rows, Sampling, SearchOptions, search
from dragoman.model.decoding.paths import coverage
from dragoman.model.vocabularies.vocabulary import BEGIN, END

CPU = torch.device("cpu")
# A piece looks where the piece before it says; the last place is padding.
LOOKS = {piece: (0.1, 0.2, 0.7, 0.0) if piece % 2 else (0.75, 0.25, 0.0, 0.0) for piece in range(12)}
STRATEGIES: list[dict[str, Any]] = [{"beam_size": 1}, {"beam_size": 3, "n_best": 3}, {"sampling": Sampling()}]


def found(script: Any, options: SearchOptions) -> list[Hypothesis]:
    hypotheses = search(script.step, script.start(2), Rows((8, 5), CPU), options)
    return [one for candidates in hypotheses for one in candidates]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_each_piece_is_aligned_with_the_place_it_looked_at_most(looking_script: Any, strategy: dict[str, Any]) -> None:
    hypotheses = found(looking_script(4, LOOKS), SearchOptions(alignment="hard", min_pieces=3, **strategy))

    before = [(BEGIN, *one.pieces)[:-1] for one in hypotheses]
    assert [one.alignment for one in hypotheses] == [tuple(2 if n % 2 else 0 for n in row) for row in before]
    assert {one.attention for one in hypotheses} == {()}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_soft_alignment_is_the_attention_of_each_piece(looking_script: Any, strategy: dict[str, Any]) -> None:
    for one in found(looking_script(4, LOOKS), SearchOptions(alignment="soft", min_pieces=3, **strategy)):
        expected = [LOOKS[piece] for piece in (BEGIN, *one.pieces)[:-1]]
        assert [pytest.approx(row) for row in one.attention] == expected


def test_nothing_is_aligned_unless_asked(looking_script: Any) -> None:
    assert {one.alignment for one in found(looking_script(4, LOOKS), SearchOptions(min_pieces=3))} == {()}


def test_coverage_sums_what_each_place_lacks() -> None:
    assert coverage([[0.5, 0.25, 0.25, 0.0], [0.75, 0.25, 0.0, 0.0]]) == pytest.approx(math.log(0.5 * 0.25))


def test_whole_coverage_costs_nothing() -> None:
    assert coverage([[0.5, 0.5], [0.5, 0.5], [1.0, 0.0]]) == 0.0


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_coverage_penalty_is_part_of_the_score(looking_script: Any, strategy: dict[str, Any]) -> None:
    options = SearchOptions(coverage_penalty=0.4, length_penalty=0.6, min_pieces=2, alignment="soft", **strategy)

    for one in found(looking_script(4, LOOKS), options):
        looked = [list(LOOKS[piece]) for piece in (BEGIN, *one.pieces)]
        expected = one.log_probability / (len(one.pieces) + 1) ** 0.6 + 0.4 * coverage(looked)
        assert one.score == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("penalty", "expected"), [(0.0, (4,)), (0.5, (5,))])
def test_coverage_penalty_prefers_the_hypothesis_that_covers_the_source(
    looking_script: Any, penalty: float, expected: tuple[int, ...]
) -> None:
    after_begin, afterwards = {4: 0.5, 5: 0.4}, {END: 0.9}
    scripted = looking_script(
        0, {BEGIN: (0.9, 0.1), 4: (0.9, 0.1), 5: (0.1, 0.9)} | dict.fromkeys(range(6, 12), (1, 0))
    )
    scripted.scores = lambda _, pieces: probable(after_begin if len(pieces) == 1 else afterwards)

    assert found(scripted, SearchOptions(beam_size=2, coverage_penalty=penalty))[0].pieces == expected


def probable(probabilities: dict[int, float]) -> torch.Tensor:
    return torch.tensor([probabilities.get(piece, 1e-6) for piece in range(12)]).log()


@pytest.mark.parametrize("options", [SearchOptions(alignment="hard"), SearchOptions(1, coverage_penalty=0.1)])
def test_network_without_attention_is_refused(script: Any, options: SearchOptions) -> None:
    with pytest.raises(ConfigurationError, match="this architecture has no attention"):
        found(script(1), options)
