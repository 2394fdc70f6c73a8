"""Copies and loops are told from translations that only look like them."""

import pytest
from dragoman.model.text_faults import is_copy, is_loop, repeated_units
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("", 0),
        ("one two three four", 0),
        ("no no no", 0),
        ("no no no no", 4),
        ("I do not know. " * 5, 25),
        ("before " + "a b " * 6 + "after", 12),
        ("好好好好好", 5),
        ("1414141414", 10),
    ],
)
def test_the_longest_run_of_a_phrase_is_counted(text: str, units: int) -> None:
    assert repeated_units(text) == units


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("What is that?", "Qu'est-ce que c'est que " + "ça " * 20, True),
        ("no " * 20, "non " * 20, False),
        ("no " * 20, "non " * 60, True),
        ("Ha ha ha ha!", "Ha ha ha ha !", False),
    ],
)
def test_a_loop_is_repetition_that_the_source_has_not(source: str, target: str, expected: bool) -> None:
    assert is_loop(source, target) is expected


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("The cat sits here.", "the cat  sits here .", True),
        ("The cat sits here.", "Le chat est assis ici.", False),
        ("Tom Jackson", "Tom Jackson", False),
        ("1, 2, 3, 4, 5, 6", "1, 2, 3, 4, 5, 6", False),
    ],
)
def test_a_copy_is_a_sentence_given_back(source: str, target: str, expected: bool) -> None:
    assert is_copy(source, target) is expected


@given(st.text())
def test_a_text_is_no_loop_beside_itself(text: str) -> None:
    assert not is_loop(text, text)
