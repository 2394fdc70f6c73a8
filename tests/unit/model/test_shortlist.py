"""The pieces that a shortlist allows for a source."""

from typing import Any

import numpy as np
import pytest
from dragoman.errors import ConfigurationError
from dragoman.model.shortlist import Shortlist
from dragoman.model.vocabularies.vocabulary import END
from hypothesis import given
from hypothesis import strategies as st

ROWS = {5: [9, 6], 6: [20, 9, 21], 8: [30]}
SOURCE_SIZE, TARGET_SIZE = 10, 40


def numbers(values: list[int]) -> Any:
    return np.array(values, np.int32)


def make(rows: dict[int, list[int]], frequent: list[int], source_size: int = SOURCE_SIZE) -> Shortlist:
    listed = [rows.get(piece, []) for piece in range(source_size)]
    starts = np.cumsum([0, *map(len, listed)]).astype(np.int32)
    return Shortlist(starts, numbers([piece for row in listed for piece in row]), numbers([END, *frequent]))


def test_candidates_are_those_of_the_source_and_the_frequent_ones() -> None:
    found = make(ROWS, [6, 33]).candidates([5, 6, 5])

    assert found.tolist() == [END, 6, 9, 20, 21, 33]
    assert found.dtype == np.int32


def test_only_frequent_pieces_are_left_when_the_source_is_empty() -> None:
    assert make(ROWS, [6, 33]).candidates([]).tolist() == [END, 6, 33]


def test_end_of_the_source_changes_no_candidate() -> None:
    shortlist = make(ROWS, [6])

    assert shortlist.candidates([5, 8, END]).tolist() == shortlist.candidates([5, 8]).tolist()


def test_prefix_is_allowed() -> None:
    assert make(ROWS, [33]).candidates([8], (7, 35, 7)).tolist() == [END, 7, 30, 33, 35]


@given(
    rows=st.dictionaries(st.integers(4, 9), st.lists(st.integers(4, 39), max_size=6)),
    frequent=st.sets(st.integers(4, 39)),
    source=st.lists(st.integers(4, 9), max_size=8),
)
def test_candidates_ascend_and_are_all_there_are(
    rows: dict[int, list[int]], frequent: set[int], source: list[int]
) -> None:
    expected = {END, *frequent}.union(*(rows.get(piece, []) for piece in source))

    assert make(rows, sorted(frequent)).candidates(source).tolist() == sorted(expected)


@pytest.mark.parametrize(
    ("starts", "pieces", "frequent", "fault"),
    [
        ([0, 1, 3], [5, 6], [END], "its rows do not part 2 pieces"),
        ([0, 2, 1, 2], [5, 6], [END], "its rows do not part 2 pieces"),
        ([1, 2], [5, 6], [END], "its rows do not part 2 pieces"),
        ([], [], [END], "its rows do not part 0 pieces"),
        ([0, 1], [END], [END], "a mark is no translation of a piece"),
        ([0, 1], [-1], [END], "a mark is no translation of a piece"),
        ([0, 1], [5], [5, 6], "its frequent pieces must ascend from END on"),
        ([0, 1], [5], [END, 6, 6], "its frequent pieces must ascend from END on"),
        ([0, 1], [5], [], "its frequent pieces must ascend from END on"),
    ],
)
def test_arrays_that_make_no_shortlist_are_refused(
    starts: list[int], pieces: list[int], frequent: list[int], fault: str
) -> None:
    with pytest.raises(ConfigurationError, match=fault):
        Shortlist(numbers(starts), numbers(pieces), numbers(frequent))


@pytest.mark.parametrize("part", [np.zeros(2), np.zeros((2, 1), np.int32)])
def test_array_of_something_else_is_refused(part: Any) -> None:
    with pytest.raises(ConfigurationError, match="must be rows of 32-bit integers"):
        Shortlist(part, numbers([]), numbers([END]))


@pytest.mark.parametrize(
    ("sizes", "fault"),
    [
        ((SOURCE_SIZE + 1, TARGET_SIZE), "it is for 10 source pieces, not 11"),
        ((SOURCE_SIZE, 30), "it names the target piece 33, the vocabulary has 30"),
    ],
)
def test_shortlist_of_another_vocabulary_does_not_fit(sizes: tuple[int, int], fault: str) -> None:
    with pytest.raises(ConfigurationError, match=fault):
        make(ROWS, [33]).check_fit(*sizes)


def test_shortlist_fits_its_own_vocabulary() -> None:
    make(ROWS, [33]).check_fit(SOURCE_SIZE, 34)
