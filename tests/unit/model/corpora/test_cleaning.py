"""Which pairs are dropped, and what is put right first."""

import unicodedata

import pytest
from dragoman.model.corpora.cleaning import REASONS, CleaningRules
from hypothesis import given
from hypothesis import strategies as st

RULES = CleaningRules(max_characters=40)
EN_FR = ("en", "fr")


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("", "un", "empty"),
        ("one", "", "empty"),
        ("a" * 41, "b" * 41, "too long"),
        ("a" * 40, "b" * 13, "length ratio"),
        ("a" * 40, "b" * 14, None),
        ("Go!", "Allez-y donc, je vous prie.", None),
        ("A bell\x07 rings.", "Une cloche sonne.", "control characters"),
        ("It\x92s late.", "Il est tard.", "control characters"),
        ("Broken \ufffd mark.", "Signe brisé.", "control characters"),
        ("Half \ud83d a sign.", "Un demi-signe.", "control characters"),
        ("No\xa0break \u200bhere.", "Rien ici\u202f!", None),
        ("Terms and Conditions", "TERMS AND CONDITIONS", "copied"),
        ("Paris, Texas", "Paris, Texas", None),
        ("192.168.100.200 / 192.168.100.201", "192.168.100.200 / 192.168.100.201", None),
    ],
)
def test_pair_has_the_fault(source: str, target: str, expected: str | None) -> None:
    assert RULES.fault((source, target), EN_FR) == expected


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("12:30 - 13:45 (*)", "De 12:30 à 13:45", "few letters"),
        ("Come over at 12:30.", "Venez nous voir à 12:30.", None),
    ],
)
def test_pair_of_few_letters_is_dropped_when_asked(source: str, target: str, expected: str | None) -> None:
    assert CleaningRules(min_letter_share=0.5).fault((source, target), EN_FR) == expected


@pytest.mark.parametrize(
    ("languages", "target", "expected"),
    [
        (("en", "ru"), "Два весла", None),
        (("en", "ru"), "Two oars", "other script"),
        (("en", "ru"), "Два весла iPhone", None),
        (("en", "fr"), "Два весла", "other script"),
        (("en", "fr"), "Œuvre d'été", None),
        (("en", "fr"), "2 + 2", None),
        (("en", "zh-TW"), "兩支槳", None),
        (("en", "xx"), "Два весла", None),
    ],
)
def test_text_in_another_script_is_dropped_when_asked(
    languages: tuple[str, str], target: str, expected: str | None
) -> None:
    assert CleaningRules(min_script_share=0.5).fault(("Two oars", target), languages) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  one \t\r\n two\u2028three ", "one two three"),
        ("one  two", "one two"),
        ("Vraiment\xa0? «\u202foui\u202f»", "Vraiment\xa0? «\u202foui\u202f»"),
        ("e\u0301te\u0301", "été"),
    ],
    ids=["line breaks", "doubled", "no-break", "composed"],
)
def test_text_is_put_right(text: str, expected: str) -> None:
    assert RULES.tidy(text) == expected


def test_text_is_not_composed_when_not_asked() -> None:
    assert CleaningRules(normalisation="none").tidy("e\u0301") == "e\u0301"


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_tidy_text_is_tidy(text: str) -> None:
    tidied = RULES.tidy(text)

    assert (RULES.tidy(tidied), unicodedata.normalize("NFC", tidied)) == (tidied, tidied)


@given(st.text(), st.text())
def test_fault_is_one_of_the_reasons(source: str, target: str) -> None:
    texts = RULES.tidy(source), RULES.tidy(target)

    assert RULES.fault(texts, EN_FR) in (None, *REASONS)
