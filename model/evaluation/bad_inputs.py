"""Inputs that bring bad models down, and what one makes of them. Knows a translator; compares nothing."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..decoding import SearchOptions
from ..text_faults import is_copy, is_loop
from ..translator import Translator

PLAIN = "The committee met on Monday and agreed on a new plan for the river."
LONG = "very long"
SCRIPTS = {
    "ar": "اجتمعت اللجنة يوم الاثنين.",
    "el": "Η επιτροπή συνεδρίασε τη Δευτέρα.",
    "ja": "委員会は月曜日に開かれました。",
    "ru": "Комитет собрался в понедельник.",
    "th": "คณะกรรมการประชุมเมื่อวันจันทร์",
}
INPUTS = {
    "empty": "",
    "blank": " \t ",
    "one character": "a",
    "only punctuation": "?!... --- ;;; ()[]{} ***",
    "only digits": "31415926535897932384626433832795",
    "emoji": "🎉🎉 👩‍👩‍👧‍👦 🇫🇷 ❤️‍🔥",
    "control characters": "one\x01two\x1bthree\x7ffour",
    "bidirectional controls": "left ‮thgir‬ again",
    "zero width": "a​b‌c‍d﻿e",
    "combining marks": "Z" + "̵̖̐" * 30,
    "repetition bait": "no " * 40,
    "phrase bait": "I do not know. " * 12,
    "one long word": "unsplittable" * 12,
    "markup": '<a href="x">{name} %s ${0}</a> &amp; <br/>',
    "shouting": PLAIN.upper(),
}
# English sentences: a model that reads English has no reason to give them back.
IN_WORDS = frozenset({"phrase bait", "shouting", LONG})
RAISED = "raises"
# A piece is rarely more than so many characters, so this many fill any model.
_CHARACTERS = 8


@dataclass(frozen=True, slots=True)
class BadInputReport:
    """What a model did with each input: "" = well, else what was wrong."""

    faults: dict[str, str]

    @property
    def found(self) -> dict[str, str]:
        """Only those that did not go well."""
        return {name: fault for name, fault in self.faults.items() if fault}


def try_bad_inputs(translator: Translator, pair: tuple[str, str]) -> BadInputReport:
    """Translate every bad input, each alone, and look at what came."""
    return BadInputReport({name: _fault(translator, name, text, pair) for name, text in _inputs(translator, pair)})


def _inputs(translator: Translator, pair: tuple[str, str]) -> Iterator[tuple[str, str]]:
    yield from INPUTS.items()
    yield from ((f"script {language}", text) for language, text in SCRIPTS.items() if language not in pair)
    yield LONG, _longest(lambda text: len(translator.encode([text], pair[1])[0]), translator.max_source_pieces)


def _longest(pieces: Callable[[str], int], most: int) -> str:
    """Plain sentences with about as many pieces as the model reads, never more."""
    words = re.split(" ", f"{PLAIN} " * (1 + most * _CHARACTERS // len(PLAIN)))
    while len(words) > 1 and (now := pieces(" ".join(words))) > most:
        words = words[: max(1, min(len(words) - 1, len(words) * most // now))]
    return " ".join(words)


def _fault(translator: Translator, name: str, text: str, pair: tuple[str, str]) -> str:
    sources = translator.encode([text], pair[1])
    if len(sources[0]) > translator.max_source_pieces:
        return ""  # a worker rejects it
    try:
        target = translator.translate_pieces(sources, SearchOptions(4))[0].text
    except Exception as error:  # noqa: BLE001 - whatever a bad input brings about, it is that model's fault
        return f"{RAISED} {type(error).__name__}"
    if is_loop(text, target):
        return "repeats itself without end"
    # Marks and texts of another language may come back as they are.
    return "gives the source back" if pair[0] == "en" and name in IN_WORDS and is_copy(text, target) else ""
