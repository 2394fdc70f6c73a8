"""What the rules promise holds for every strategy: lengths, prefixes, repetition, scores of pieces."""

import math
from itertools import pairwise
from typing import Any

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
    "sampling": {"sampling": Sampling(temperature=1.3, seed=4), "n_best": 2},
}
each_strategy = pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
examples = settings(deadline=None, max_examples=12, derandomize=True)
seeds = st.integers(0, 100_000)


def found(script: Any, options: SearchOptions, limits: tuple[int, ...], **more: Any) -> list[list[Hypothesis]]:
    return search(script.step, script.start(len(limits)), Rows(limits, CPU, **more), options)


def every(hypotheses: list[list[Hypothesis]]) -> list[Hypothesis]:
    return [one for found in hypotheses for one in found]


@each_strategy
@examples
@given(seed=seeds)
def test_pieces_are_scored_as_the_step_function_scores_them(script: Any, strategy: dict[str, Any], seed: int) -> None:
    scripted = script(seed)
    hypotheses = found(scripted, SearchOptions(**strategy), (40, 40))

    for segment, candidates in enumerate(hypotheses):
        for one in candidates:
            # The last is that of END, which the limit forces on some.
            expected = scripted.log_probability(segment, one.pieces)
            assert one.piece_scores[:-1] == pytest.approx(expected[:-1], abs=1e-5)
            assert one.score == pytest.approx(one.log_probability / (len(one.pieces) + 1), abs=1e-6)


@each_strategy
@examples
@given(seed=seeds, min_pieces=st.integers(0, 6), limit=st.integers(0, 9))
def test_translation_keeps_to_the_fewest_and_the_most_pieces(
    script: Any, strategy: dict[str, Any], seed: int, min_pieces: int, limit: int
) -> None:
    hypotheses = found(script(seed), SearchOptions(min_pieces=min_pieces, **strategy), (limit, 40))
    first, second = ([len(one.pieces) for one in candidates] for candidates in hypotheses)

    assert min(first) >= min(min_pieces, limit)
    assert max(first) <= limit
    assert min(second) >= min_pieces


@each_strategy
@examples
@given(seed=seeds, ngram=st.integers(1, 3))
def test_no_sequence_of_so_many_pieces_comes_twice(
    script: Any, strategy: dict[str, Any], seed: int, ngram: int
) -> None:
    options = SearchOptions(no_repeat_ngram=ngram, min_pieces=8, **strategy)
    hypotheses = every(found(script(seed, 8), options, (30, 30)))

    grams = [[one.pieces[n : n + ngram] for n in range(len(one.pieces) - ngram + 1)] for one in hypotheses]
    assert [len(set(one)) for one in grams] == [len(one) for one in grams]


@each_strategy
@examples
@given(seed=seeds, prefixes=st.lists(st.lists(st.integers(4, 11), max_size=4).map(tuple), min_size=1, max_size=4))
def test_each_translation_begins_with_its_prefix(
    script: Any, strategy: dict[str, Any], seed: int, prefixes: list[tuple[int, ...]]
) -> None:
    limits = (9,) * len(prefixes)
    hypotheses = found(script(seed), SearchOptions(**strategy), limits, prefixes=tuple(prefixes))

    begun = [{one.pieces[: len(prefix)] for one in some} for some, prefix in zip(hypotheses, prefixes, strict=True)]
    assert begun == [{prefix} for prefix in prefixes]


@each_strategy
def test_prefix_of_the_options_is_that_of_every_segment(script: Any, strategy: dict[str, Any]) -> None:
    hypotheses = every(found(script(1), SearchOptions(prefix=(7, 7, 9), no_repeat_ngram=1, **strategy), (8, 8)))

    assert {one.pieces[:3] for one in hypotheses} == {(7, 7, 9)}


@each_strategy
def test_prefix_can_fill_the_whole_translation(script: Any, strategy: dict[str, Any]) -> None:
    hypotheses = every(found(script(1), SearchOptions(prefix=(7, 8), **strategy), (2,)))

    assert {one.pieces for one in hypotheses} == {(7, 8)}


def test_prefix_is_scored_like_any_piece(script: Any) -> None:
    scripted = script(3)
    [[one]] = found(scripted, SearchOptions(beam_size=1, prefix=(5, 6)), (30,))

    assert one.piece_scores == pytest.approx(scripted.log_probability(0, one.pieces), abs=1e-5)


def test_prefix_longer_than_a_segment_may_be_is_refused(script: Any) -> None:
    with pytest.raises(ConfigurationError, match="a prefix of 3 pieces does not fit a translation of at most 2"):
        found(script(1), SearchOptions(), (8, 2), prefixes=((4,), (5, 6, 7)))


@each_strategy
def test_row_that_may_take_nothing_else_ends_before_the_fewest_pieces(script: Any, strategy: dict[str, Any]) -> None:
    one_piece_vocabulary = END + 2
    options = SearchOptions(min_pieces=5, no_repeat_ngram=1, **strategy)
    hypotheses = every(found(script(0, one_piece_vocabulary), options, (9,)))

    assert {one.pieces for one in hypotheses} == {(4,)}
    assert all(math.isfinite(one.score) for one in hypotheses)


@examples
@given(seed=seeds)
def test_hypotheses_of_a_beam_are_distinct_and_sorted(script: Any, seed: int) -> None:
    hypotheses = found(script(seed), SearchOptions(beam_size=4, n_best=4), (7, 7))

    for candidates in hypotheses:
        assert len({one.pieces for one in candidates}) == 4
        assert all(better.score >= worse.score for better, worse in pairwise(candidates))


@examples
@given(seed=seeds)
def test_fewer_hypotheses_are_the_first_of_more(script: Any, seed: int) -> None:
    one = found(script(seed), SearchOptions(beam_size=4), (7, 7))
    four = found(script(seed), SearchOptions(beam_size=4, n_best=4), (7, 7))

    assert one == [candidates[:1] for candidates in four]


@each_strategy
def test_steps_have_a_multiple_of_rows_that_changes_nothing(script: Any, strategy: dict[str, Any]) -> None:
    options = SearchOptions(**strategy)
    plain, filled = script(6), script(6)

    expected = found(plain, options, (9, 9, 9))
    # The state then has its spare rows from the start.
    assert search(filled.step, filled.start(8), Rows((9, 9, 9), CPU, multiple=8), options) == expected
    assert {rows % 8 for rows in filled.rows_seen} == {0}
