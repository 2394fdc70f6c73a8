"""Every strategy keeps to the pieces that a segment allows, as if the network had no others."""

from typing import Any

import numpy as np
import pytest
import torch
from dragoman.errors import ConfigurationError
from dragoman.model.decoding import Hypothesis, Rows, Sampling, SearchOptions, search
from dragoman.model.vocabularies.vocabulary import END
from hypothesis import given, settings
from hypothesis import strategies as st

CPU = torch.device("cpu")
STRATEGIES: dict[str, dict[str, Any]] = {
    "greedy": {"beam_size": 1},
    "beam": {"beam_size": 3, "n_best": 3},
    "sampling": {"sampling": Sampling(temperature=1.3, seed=4), "n_best": 3},
}
each_strategy = pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
examples = settings(deadline=None, max_examples=12, derandomize=True)
seeds = st.integers(0, 100_000)
some_pieces = st.sets(st.integers(4, 11), min_size=1).map(lambda pieces: [END, *sorted(pieces)])
VOCABULARY = 12


def arrays(allowed: list[list[int]]) -> tuple[Any, ...]:
    return tuple(np.array(pieces, np.int32) for pieces in allowed)


def found(script: Any, options: SearchOptions, allowed: list[list[int]], **more: Any) -> list[list[Hypothesis]]:
    rows = Rows((9,) * len(allowed), CPU, seeds=tuple(range(len(allowed))), allowed=arrays(allowed), **more)
    return search(script.step, script.start(len(allowed)), rows, options)


def pieces_of(hypotheses: list[list[Hypothesis]]) -> list[list[tuple[int, ...]]]:
    return [[one.pieces for one in candidates] for candidates in hypotheses]


@each_strategy
@examples
@given(seed=seeds, allowed=some_pieces)
def test_search_finds_what_a_network_of_the_allowed_pieces_alone_gives(
    script: Any, strategy: dict[str, Any], seed: int, allowed: list[int]
) -> None:
    def only_allowed(last: torch.Tensor, state: Any) -> torch.Tensor:
        scores = scripted.step(last, state)
        forbidden = [piece for piece in range(VOCABULARY) if piece not in allowed]
        scores[:, forbidden] = float("-inf")
        return scores

    scripted, options = script(seed), SearchOptions(**strategy)
    hypotheses = found(script(seed), options, [allowed] * 2)
    rows = Rows((9, 9), CPU, seeds=(0, 1))
    expected = search(only_allowed, scripted.start(2), rows, options)
    assert hypotheses == expected


@each_strategy
@examples
@given(seed=seeds, allowed=st.lists(some_pieces, min_size=2, max_size=4))
def test_every_piece_is_one_that_its_segment_allows(
    script: Any, strategy: dict[str, Any], seed: int, allowed: list[list[int]]
) -> None:
    hypotheses = found(script(seed), SearchOptions(**strategy), allowed)

    used = [{piece for one in candidates for piece in one.pieces} for candidates in hypotheses]
    assert all(some <= {*pieces} for some, pieces in zip(used, allowed, strict=True))


@each_strategy
@examples
@given(seed=seeds, allowed=st.lists(some_pieces, min_size=3, max_size=3))
def test_neighbours_allowed_pieces_change_nothing(
    script: Any, strategy: dict[str, Any], seed: int, allowed: list[list[int]]
) -> None:
    options = SearchOptions(**strategy)
    everything = [*range(END, VOCABULARY)]

    together = found(script(seed), options, allowed)
    beside_others = found(script(seed), options, [allowed[0], everything, everything])
    assert together[0] == beside_others[0]


def test_probabilities_are_over_the_allowed_pieces_alone(script: Any) -> None:
    scripted = script(5)
    [[one]] = found(script(5), SearchOptions(beam_size=1), [[END, 6, 9]])

    scores = scripted.scores(0, (2,))[[END, 6, 9]].log_softmax(-1)
    assert one.piece_scores[0] == pytest.approx(float(scores.max()), abs=1e-6)


def test_all_pieces_allowed_are_as_none_named_but_for_the_marks(script: Any) -> None:
    options = SearchOptions(beam_size=1)
    named = found(script(8), options, [[*range(VOCABULARY)]] * 2)

    assert named == search(script(8).step, script(8).start(2), Rows((9, 9), CPU), options)


@each_strategy
def test_prefix_must_be_allowed(script: Any, strategy: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="the allowed pieces lack 8, which END or the prefix needs"):
        found(script(1), SearchOptions(prefix=(5, 8), **strategy), [[END, 5, 6]])


def test_end_must_be_allowed(script: Any) -> None:
    with pytest.raises(ConfigurationError, match="the allowed pieces lack 3, which END or the prefix needs"):
        found(script(1), SearchOptions(), [[5, 6]])


@each_strategy
def test_prefix_begins_the_translation_when_it_is_allowed(script: Any, strategy: dict[str, Any]) -> None:
    hypotheses = found(script(1), SearchOptions(prefix=(5, 8), **strategy), [[END, 5, 6, 8]])

    assert {pieces[:2] for pieces in pieces_of(hypotheses)[0]} == {(5, 8)}


@each_strategy
def test_dummy_rows_change_nothing(script: Any, strategy: dict[str, Any]) -> None:
    options, allowed = SearchOptions(**strategy), [[END, 5, 6], [END, 7, 8, 9], [END, 4]]
    filled = script(6)

    rows = Rows((9,) * 3, CPU, seeds=(0, 1, 2), multiple=8, allowed=arrays(allowed))
    assert search(filled.step, filled.start(8), rows, options) == found(script(6), options, allowed)
