"""Which pairs share a batch, as arithmetic."""

import itertools
import random

import numpy as np
import pytest
from dragoman.model.batching import padding_ratio
from dragoman.model.training.packing import Numbers, divisible, packed
from hypothesis import example, given, settings
from hypothesis import strategies as st

LENGTHS = st.lists(st.tuples(st.integers(1, 40), st.integers(2, 40)), max_size=60)
BATCHES = st.lists(st.integers(1, 9), max_size=8)


def arrays(lengths: list[tuple[int, int]]) -> tuple[Numbers, Numbers]:
    sides = np.array(lengths, dtype=np.int32).reshape(-1, 2)
    return sides[:, 0], sides[:, 1]


def numbered(sizes: list[int]) -> list[Numbers]:
    numbers = iter(range(sum(sizes)))
    return [np.array(list(itertools.islice(numbers, size)), dtype=np.int32) for size in sizes]


@settings(deadline=None)
@given(lengths=LENGTHS, tokens=st.integers(40, 200), seed=st.integers(0, 99))
def test_every_pair_is_in_one_batch(lengths: list[tuple[int, int]], tokens: int, seed: int) -> None:
    batches = packed(*arrays(lengths), tokens, random.Random(seed))

    assert sorted(int(row) for batch in batches for row in batch) == list(range(len(lengths)))


@settings(deadline=None)
@given(lengths=LENGTHS, tokens=st.integers(40, 200), seed=st.integers(0, 99))
def test_no_batch_is_over_the_budget_on_either_side(lengths: list[tuple[int, int]], tokens: int, seed: int) -> None:
    batches = packed(*arrays(lengths), tokens, random.Random(seed))

    assert all(len(batch) * max(max(lengths[row]) for row in batch) <= tokens for batch in batches)


def drawn_lengths(count: int) -> list[tuple[int, int]]:
    """Sources as corpora have them, targets a third longer or shorter."""
    generator = random.Random(5)
    sources = [min(100, 4 + int(generator.expovariate(1 / 12))) for _ in range(count)]
    return [(source, max(3, min(100, round(source * generator.uniform(0.75, 1.33))))) for source in sources]


def test_padding_of_both_sides_is_below_a_twentieth() -> None:
    lengths = drawn_lengths(20_000)

    batches = packed(*arrays(lengths), 2000, random.Random(1))

    sides = [[lengths[row][side] for row in batch] for batch in batches for side in (0, 1)]
    assert padding_ratio(sides) <= 0.05


def test_batches_differ_with_the_generator_alone() -> None:
    lengths = arrays([(5, 5)] * 40)

    first, again, other = ([batch.tolist() for batch in packed(*lengths, 20, random.Random(s))] for s in (1, 1, 2))
    assert (first == again, first == other) == (True, False)


@settings(deadline=None)
@given(sizes=BATCHES, ranks=st.integers(1, 5))
@example(sizes=[1, 1, 1, 1], ranks=3)
def test_every_rank_gets_as_many_batches_and_only_single_pairs_are_left_out(sizes: list[int], ranks: int) -> None:
    batches = divisible(numbered(sizes), ranks)

    rows = [int(row) for batch in batches for row in batch]
    left_out = sum(sizes) - len(set(rows))
    assert (len(batches) % ranks, len(rows) - len(set(rows))) == (0, 0)
    assert left_out == (sum(sizes) % ranks if left_out else 0)
    assert not left_out or all(len(batch) == 1 for batch in batches)


@settings(deadline=None)
@given(sizes=BATCHES, ranks=st.integers(1, 5))
def test_no_batch_is_empty(sizes: list[int], ranks: int) -> None:
    assert all(len(batch) > 0 for batch in divisible(numbered(sizes), ranks))


def test_the_largest_batch_is_halved() -> None:
    assert [batch.tolist() for batch in divisible(numbered([1, 4]), 3)] == [[0], [1, 2], [3, 4]]


@pytest.mark.parametrize("sizes", [[2, 3], []])
def test_batches_stay_as_they_are_when_they_divide(sizes: list[int]) -> None:
    batches = numbered(sizes)

    assert divisible(batches, 2) is batches
