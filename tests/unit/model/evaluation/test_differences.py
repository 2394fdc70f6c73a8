"""Differing words."""

from dragoman.model.evaluation.differences import Span, differing_spans
from hypothesis import given
from hypothesis import strategies as st


def marked(text: str, other: str) -> list[str]:
    return [span.text for span in differing_spans(text, other)[0] if span.differs]


def test_nothing_differs_between_equal_texts() -> None:
    assert differing_spans("A boat.", "A boat.") == ((Span("A boat.", False),), (Span("A boat.", False),))


def test_replaced_word_is_marked_on_both_sides() -> None:
    assert differing_spans("A red boat.", "A blue boat.") == (
        (Span("A ", False), Span("red", True), Span(" boat.", False)),
        (Span("A ", False), Span("blue", True), Span(" boat.", False)),
    )


def test_neighbouring_words_are_marked_together() -> None:
    assert marked("un vieux moulin gris", "un beau château gris") == ["vieux moulin"]


def test_everything_is_marked_against_an_empty_text() -> None:
    assert differing_spans("A boat", "") == ((Span("A boat", True),), ())


def test_another_white_space_is_no_difference() -> None:
    assert marked("Oui !", "Oui\u202f!") == []


@given(st.text(), st.text())
def test_spans_make_up_the_texts(text: str, other: str) -> None:
    left, right = differing_spans(text, other)

    assert ("".join(span.text for span in left), "".join(span.text for span in right)) == (text, other)
