"""Packing segments into batches, as arithmetic."""

import itertools

import pytest
from dragoman.model.batching import BatchLimits, pack, padding_ratio
from hypothesis import given, settings
from hypothesis import strategies as st

LENGTHS = st.lists(st.integers(0, 60), max_size=60)
LIMITS = st.builds(BatchLimits, tokens=st.integers(1, 200), rows=st.integers(1, 12))


def padded_tokens(lengths: list[int], run: range) -> int:
    return len(run) * max(lengths[index] for index in run)


@settings(deadline=None)
@given(lengths=LENGTHS, limits=LIMITS)
def test_pack_takes_every_index_once_and_in_order(lengths: list[int], limits: BatchLimits) -> None:
    assert list(itertools.chain(*pack(lengths, limits))) == list(range(len(lengths)))


@settings(deadline=None)
@given(lengths=LENGTHS, limits=LIMITS)
def test_pack_stays_within_the_limits_but_for_single_rows(lengths: list[int], limits: BatchLimits) -> None:
    several = [run for run in pack(lengths, limits) if len(run) > 1]

    assert all(len(run) <= limits.rows and padded_tokens(lengths, run) <= limits.tokens for run in several)


@settings(deadline=None)
@given(lengths=LENGTHS, limits=LIMITS)
def test_pack_leaves_no_room_for_the_next_row(lengths: list[int], limits: BatchLimits) -> None:
    grown = [range(run.start, run.stop + 1) for run in list(pack(lengths, limits))[:-1]]

    assert all(len(run) > limits.rows or padded_tokens(lengths, run) > limits.tokens for run in grown)


def test_row_longer_than_the_budget_is_alone() -> None:
    assert list(pack([3, 50, 3], BatchLimits(tokens=10, rows=8))) == [range(1), range(1, 2), range(2, 3)]


def test_nothing_packs_into_no_batch() -> None:
    assert list(pack([], BatchLimits(tokens=10, rows=8))) == []


@settings(deadline=None)
@given(batches=st.lists(st.lists(st.integers(0, 40), max_size=8), max_size=8))
def test_padding_ratio_is_a_share(batches: list[list[int]]) -> None:
    assert 0 <= padding_ratio(batches) < 1


@pytest.mark.parametrize(
    ("batches", "ratio"), [([], 0.0), ([[0]], 0.0), ([[7, 7]], 0.0), ([[1, 3]], 1 / 3), ([[4], [1, 3]], 0.2)]
)
def test_padding_ratio_counts_what_is_filled_up(batches: list[list[int]], ratio: float) -> None:
    assert padding_ratio(batches) == pytest.approx(ratio)
