"""Each way in which a bad input brings a model down is told by its name."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from dragoman.model.evaluation.bad_inputs import INPUTS, LONG, SCRIPTS, try_bad_inputs
from dragoman.model.evaluation.gate import judge

# They repeat themselves.
BAITS = {"repetition bait", "phrase bait", "combining marks"}


class Stub:
    """Translates by a function of the text; a character is a piece."""

    version, max_source_pieces = "stub@1", 600

    def __init__(self, answer: Callable[[str], str]) -> None:
        self.answer = answer
        self.seen: list[str] = []

    def encode(self, texts: Sequence[str], target: str) -> list[list[int]]:
        return [list(map(ord, text)) for text in texts]

    def translate_pieces(self, sources: Sequence[Sequence[int]], options: Any) -> list[Any]:
        self.seen += ["".join(map(chr, source)) for source in sources]
        return [SimpleNamespace(text=self.answer(self.seen[-1]))]


def found(answer: Callable[[str], str], pair: tuple[str, str] = ("en", "fr")) -> dict[str, str]:
    return try_bad_inputs(Stub(answer), pair).found


def fail_on_emoji(text: str) -> str:
    if "🎉" in text:
        raise RuntimeError(text)
    return "bien"


def test_a_model_that_does_well_has_no_fault() -> None:
    assert found(lambda _: "bien") == {}


def test_an_error_is_named_without_the_text() -> None:
    assert found(fail_on_emoji) == {"emoji": "raises RuntimeError"}


def test_repetition_without_end_is_a_fault_but_not_where_the_source_repeats() -> None:
    faults = found(lambda _: "non " * 40)
    assert set(faults) == {*INPUTS, *(f"script {one}" for one in SCRIPTS), LONG} - BAITS


@pytest.mark.parametrize(("pair", "copies"), [(("en", "fr"), {"phrase bait", "shouting", LONG}), (("fr", "en"), set())])
def test_english_given_back_is_a_fault_of_a_model_that_reads_english(pair: tuple[str, str], copies: set[str]) -> None:
    assert set(found(lambda text: text, pair)) == copies


def test_the_longest_text_fits_the_model() -> None:
    stub = Stub(lambda _: "bien")
    try_bad_inputs(stub, ("en", "fr"))
    assert 500 < max(map(len, stub.seen)) <= 600


def test_a_script_that_the_pair_has_is_no_bad_input() -> None:
    assert "script ru" not in found(lambda _: "non " * 40, ("ru", "en"))


def test_only_what_the_other_version_does_not_fail_on_is_an_objection() -> None:
    loops, well = Stub(lambda _: "non " * 40), Stub(fail_on_emoji)
    worse = judge(loops, well, ("en", "fr"), [])
    same = judge(loops, loops, ("en", "fr"), [])

    assert "on the bad input 'empty' it repeats itself without end" in worse.objections
    assert not any("emoji" in one for one in worse.objections)
    assert same.passed


def test_a_first_version_must_only_raise_no_error() -> None:
    assert judge(Stub(lambda _: "non " * 40), None, ("en", "fr"), []).passed
    assert not judge(Stub(fail_on_emoji), None, ("en", "fr"), []).passed
