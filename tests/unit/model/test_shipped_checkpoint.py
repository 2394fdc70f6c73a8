"""The checkpoints that come with Dragoman."""

import json
from pathlib import Path

import pytest
from dragoman.errors import ConfigurationError
from dragoman.model.shipped import (
    checkpoints_in,
    default_checkpoint,
    find_checkpoint,
    shipped_checkpoints,
    shipped_for,
)
from dragoman.model.translator import Translator

# All of them together.
MAX_BYTES = 25_000_000


@pytest.fixture(scope="module")
def translator() -> Translator:
    return Translator.load(default_checkpoint(), "cpu")


@pytest.fixture(scope="module")
def reverse_translator() -> Translator:
    return Translator.load(shipped_for("de", "en"), "cpu")


def test_default_checkpoint_translates_english(translator: Translator) -> None:
    assert translator.pairs == (("en", "de"), ("en", "es"), ("en", "fr"))


def test_shipped_checkpoints_translate_to_english_too() -> None:
    assert [shipped_for(source, "en").name for source in ("de", "es", "fr")] == ["tatoeba-de-es-fr-to-en"] * 3


def test_shipped_checkpoints_are_small() -> None:
    assert sum(path.stat().st_size for folder in shipped_checkpoints() for path in folder.iterdir()) <= MAX_BYTES


@pytest.mark.parametrize("folder", shipped_checkpoints(), ids=lambda folder: folder.name)
def test_every_shipped_checkpoint_is_whole_and_called_as_its_folder(folder: Path) -> None:
    assert Translator.load(folder, "cpu").checkpoint.name == folder.name


def test_default_checkpoint_is_one_of_the_shipped() -> None:
    assert default_checkpoint() in shipped_checkpoints()


def test_shipped_checkpoint_is_found_by_its_pair(translator: Translator) -> None:
    assert [shipped_for(source, target) for source, target in translator.pairs] == (
        [default_checkpoint()] * len(translator.pairs)
    )


def test_pair_that_no_shipped_checkpoint_translates_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"no shipped model translates en-tlh, only .*en-fr"):
        shipped_for("en", "tlh")


def test_shipped_checkpoint_is_found_by_its_name() -> None:
    assert find_checkpoint(default_checkpoint().name) == default_checkpoint()


def test_folder_is_found_before_a_shipped_checkpoint_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / default_checkpoint().name).mkdir()

    assert find_checkpoint(default_checkpoint().name) == Path(default_checkpoint().name)


def test_path_is_found_as_it_is() -> None:
    assert find_checkpoint("some/where") == Path("some/where")


def test_folder_without_checkpoints_has_none(tmp_path: Path) -> None:
    assert checkpoints_in(tmp_path) == []


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
    ("target", "text", "word"),
    [
        ("fr", "Where is the station?", "gare"),
        ("fr", "I love you.", "aime"),
        ("fr", "Thank you.", "Merci"),
        ("es", "Where is the station?", "estación"),
        ("es", "Thank you.", "Gracias"),
        ("de", "Where is the station?", "Bahnhof"),
        ("de", "Thank you.", "Danke"),
    ],
)
def test_shipped_checkpoint_knows_everyday_words(translator: Translator, target: str, text: str, word: str) -> None:
    assert word in translator.translate([text], target=target)[0].text


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("Wo ist der Bahnhof?", "station"),
        ("Danke.", "Thank"),
        ("¿Dónde está la estación?", "station"),
        ("Gracias.", "Thank"),
        ("Où est la gare ?", "station"),
        ("Merci.", "Thank"),
    ],
)
def test_shipped_checkpoint_knows_everyday_words_to_english(
    reverse_translator: Translator, text: str, word: str
) -> None:
    assert word in reverse_translator.translate([text], target="en")[0].text
