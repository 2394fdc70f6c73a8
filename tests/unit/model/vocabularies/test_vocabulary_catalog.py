"""Vocabularies by the name of their kind."""

import pytest
from dragoman.errors import ConfigurationError
from dragoman.model.vocabularies.catalog import VOCABULARIES, load_vocabulary
from dragoman.model.vocabularies.characters import CharacterVocabulary
from dragoman.model.vocabularies.subwords import SubwordVocabulary
from dragoman.model.vocabularies.vocabulary import Vocabulary


@pytest.mark.parametrize(("name", "made"), VOCABULARIES.items())
def test_kind_is_listed_under_its_own_name(name: str, made: type[Vocabulary]) -> None:
    assert made.kind == name


def test_vocabulary_is_loaded_by_its_kind(tokenizer: SubwordVocabulary) -> None:
    loaded = load_vocabulary("subwords", tokenizer.files())

    assert isinstance(loaded, SubwordVocabulary)
    assert loaded.files() == tokenizer.files()


def test_unknown_kind_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"no vocabulary kind 'runes': take one of .*characters.*subwords"):
        load_vocabulary("runes", {})


@pytest.mark.parametrize(("kind", "file"), [("subwords", "tokenizer.model"), ("characters", "characters.json")])
def test_missing_file_is_named(kind: str, file: str) -> None:
    with pytest.raises(ConfigurationError, match=f"a vocabulary of the kind {kind} needs a file {file}"):
        load_vocabulary(kind, {"other": CharacterVocabulary("a").files()["characters.json"]})
