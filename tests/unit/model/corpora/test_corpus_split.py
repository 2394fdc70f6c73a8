"""Which part a segment belongs to: for ever the same, and no test segment in any training set."""

from collections import Counter

import pytest
from dragoman.model.corpora.split import part_of
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("source", "part"),
    [("Good morning!", "train"), ("sentence 5", "test"), ("sentence 2", "dev"), ("", "dev"), ("?!", "train")],
)
def test_the_part_is_that_of_the_first_release_when_a_later_one_is_asked(source: str, part: str) -> None:
    """Never change an expectation here: segments of test sets would come into training sets."""
    assert part_of(source) == part


@given(st.text())
def test_the_part_stays_when_case_punctuation_and_spaces_differ(source: str) -> None:
    assert part_of(f"  Word {source} ...! ") == part_of(f"word {source}")


@given(st.text(st.characters(codec="ascii")))
def test_the_part_stays_when_letters_are_upper_case(source: str) -> None:
    assert part_of(source.upper()) == part_of(source.lower())


def test_a_composed_letter_counts_like_its_parts() -> None:
    spelt = [(f"caf\u00e9 {n}", f"cafe\u0301 {n}") for n in range(200)]
    assert [part_of(one) for one, _ in spelt] == [part_of(other) for _, other in spelt]


def test_shares_are_as_they_are_told_when_there_are_many_segments() -> None:
    parts = Counter(part_of(f"a segment with the number {number}") for number in range(20_000))
    assert 500 < parts["test"] < 700
    assert 500 < parts["dev"] < 700
