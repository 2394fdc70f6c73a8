"""Greedy and beam search, segment by segment in the running batch, against the search over padded batches."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from dragoman.model.decoding import Hypothesis, Rows, SearchOptions, search
from dragoman.model.engine.request import Request
from dragoman.model.vocabularies.vocabulary import END
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

Start = Callable[..., Any]
# The engine and the core are made anew for each example.
FEW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@dataclass
class Script:
    """The state and the step of `decoding.search` over a scripted core's probabilities, for one source."""

    core: Any
    source: tuple[int, ...]
    paths: list[tuple[int, ...]]

    def select(self, rows: torch.Tensor) -> None:
        self.paths = [self.paths[row] for row in rows.tolist()]

    @staticmethod
    def step(last: torch.Tensor, state: "Script") -> torch.Tensor:
        state.paths = [(*path, piece) for path, piece in zip(state.paths, last.tolist(), strict=True)]
        rows = [torch.from_numpy(state.core.log_probabilities(state.source, path)) for path in state.paths]
        return torch.stack(rows).float()


def reference(core: Any, request: Request) -> list[Hypothesis]:
    rows = Rows((request.limit,), torch.device("cpu"))
    return search(Script.step, Script(core, request.source, [()]), rows, request.options)[0]


def answer(engine: Any, request: Request) -> tuple[Hypothesis, ...]:
    engine.submit([request])
    found: tuple[Hypothesis, ...] = request.future.result(timeout=60)
    return found


def assert_equal(found: Sequence[Hypothesis], expected: Sequence[Hypothesis]) -> None:
    assert [one.pieces for one in found] == [one.pieces for one in expected]
    for one, other in zip(found, expected, strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-5)
        assert one.piece_scores == pytest.approx(other.piece_scores, abs=1e-5)


@st.composite
def options(draw: st.DrawFn) -> tuple[SearchOptions, int]:
    """Any options of the running batch, and a limit."""
    beam_size = draw(st.integers(1, 5))
    prefix = tuple(draw(st.lists(st.integers(4, 7), max_size=6)))
    chosen = SearchOptions(
        beam_size=beam_size,
        length_penalty=draw(st.sampled_from((0.0, 0.6, 1.0, 2.0, -0.5))),
        n_best=draw(st.integers(1, beam_size)),
        min_pieces=draw(st.integers(0, 8)),
        prefix=prefix,
    )
    return chosen, draw(st.integers(len(prefix), 10))


@FEW
@given(asked=options(), vocabulary_size=st.sampled_from((5, 6, 8, 12, 30)), source=st.lists(st.integers(4, 90)))
def test_hypotheses_are_those_of_the_search_over_batches(
    scripted_core: type[Any],
    continuous_engine: Start,
    asked: tuple[SearchOptions, int],
    vocabulary_size: int,
    source: list[int],
) -> None:
    core = scripted_core(max(vocabulary_size, *asked[0].prefix, 0) + 1)
    request = Request((*source, END), *asked, tuple)

    assert_equal(answer(continuous_engine(core), request), reference(core, request))


@FEW
@given(several=st.lists(options(), min_size=2, max_size=12), rows=st.integers(5, 20))
def test_segments_with_different_options_are_searched_together_like_alone(
    scripted_core: type[Any], continuous_engine: Start, several: list[tuple[SearchOptions, int]], rows: int
) -> None:
    core = scripted_core()
    asked = [Request((9, number, END), *one, tuple) for number, one in enumerate(several)]
    continuous_engine(core, rows=rows).submit(asked)
    found = [request.future.result(timeout=60) for request in asked]

    assert found == [
        answer(continuous_engine(core), Request(one.source, one.options, one.limit, tuple)) for one in asked
    ]


@pytest.mark.parametrize("beam_size", [1, 4])
def test_limit_of_nothing_gives_the_empty_translation(
    scripted_core: type[Any], continuous_engine: Start, beam_size: int
) -> None:
    core = scripted_core()
    request = Request((5, END), SearchOptions(beam_size, max_pieces=0), 0, tuple)
    [found] = answer(continuous_engine(core), request)

    assert (found.pieces, found.piece_scores, found.score) == ((), (0.0,), 0.0)
    assert_equal([found], reference(core, request))


@pytest.mark.parametrize("beam_size", [1, 3])
def test_prefix_as_long_as_the_limit_is_the_translation(
    scripted_core: type[Any], continuous_engine: Start, beam_size: int
) -> None:
    core = scripted_core()
    request = Request((5, END), SearchOptions(beam_size, prefix=(4, 5, 4, 5)), 4, tuple)
    found = answer(continuous_engine(core), request)

    assert [one.pieces for one in found] == [(4, 5, 4, 5)]
    assert_equal(found, reference(core, request))


def test_beam_that_finds_fewer_hypotheses_gives_fewer(scripted_core: type[Any], continuous_engine: Start) -> None:
    # One piece beside END, and at most one of it: two translations.
    core = scripted_core(5)
    request = Request((5, END), SearchOptions(beam_size=5, n_best=5), 1, tuple)
    found = answer(continuous_engine(core), request)

    assert sorted(one.pieces for one in found) == [(), (4,)]
    assert_equal(found, reference(core, request))


def test_rows_of_a_beam_are_one_and_then_as_many_as_it_is_wide(
    scripted_core: type[Any], continuous_engine: Start
) -> None:
    core = scripted_core()
    answer(continuous_engine(core), Request((5, END), SearchOptions(3, min_pieces=6), 6, tuple))

    assert core.row_counts[0] == 1
    assert set(core.row_counts[1:]) == {3}


def test_greedy_search_takes_no_step_behind_its_limit(scripted_core: type[Any], continuous_engine: Start) -> None:
    core = scripted_core()
    answer(continuous_engine(core), Request((5, END), SearchOptions(1, min_pieces=6), 6, tuple))

    assert len(core.row_counts) == 6
