"""The checkpoint that comes with Dragoman."""

import json

import pytest
from dragoman.model.shipped import default_checkpoint
from dragoman.model.translator import Translator

MAX_BYTES = 16 * 1024 * 1024


@pytest.fixture(scope="module")
def translator() -> Translator:
    return Translator.load(default_checkpoint(), "cpu")


def test_shipped_checkpoint_translates_english_to_french(translator: Translator) -> None:
    assert translator.pairs == (("en", "fr"),)


def test_shipped_checkpoint_is_small() -> None:
    assert sum(path.stat().st_size for path in default_checkpoint().iterdir()) <= MAX_BYTES


def test_shipped_checkpoint_has_the_version_its_name_and_files_give(translator: Translator) -> None:
    name = json.loads((default_checkpoint() / "config.json").read_text())["name"]

    assert translator.version.startswith(f"{name}@")
    assert len(translator.version) == len(name) + 13


@pytest.mark.parametrize(
    "words", ["BLEU", "chrF", "CC BY 2.0 FR", "tatoeba.org", "manythings.org/anki", "dragoman train"]
)
def test_shipped_card_says_quality_licence_attribution_and_command(translator: Translator, words: str) -> None:
    assert words in translator.checkpoint.card


@pytest.mark.parametrize(
    ("text", "word"), [("Where is the station?", "gare"), ("I love you.", "aime"), ("Thank you.", "Merci")]
)
def test_shipped_checkpoint_knows_everyday_words(translator: Translator, text: str, word: str) -> None:
    assert word in translator.translate([text])[0].text
