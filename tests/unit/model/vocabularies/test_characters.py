"""Characters as pieces."""

import json
import unicodedata

import pytest
from dragoman.errors import ConfigurationError
from dragoman.model.vocabularies.characters import FILE, FIRST_PIECE, CharacterVocabulary
from dragoman.model.vocabularies.vocabulary import BEGIN, END, PAD, UNKNOWN
from hypothesis import given
from hypothesis import strategies as st

# Anything but control characters, which are spaces to a vocabulary; a lone surrogate can stand in a Python text.
LINES = st.lists(st.text(st.characters(exclude_categories=["Cc"])), min_size=1).filter(lambda lines: any(lines))


@given(lines=LINES)
def test_text_comes_back_when_its_characters_were_seen(lines: list[str]) -> None:
    vocabulary = CharacterVocabulary.train(lines)

    assert vocabulary.decode(vocabulary.encode(lines)) == lines


@given(lines=LINES, texts=st.lists(st.text()))
def test_every_character_is_one_piece_and_no_mark(lines: list[str], texts: list[str]) -> None:
    rows = CharacterVocabulary.train(lines, languages=["fr"]).encode(texts)

    assert [len(row) for row in rows] == [len(text) for text in texts]
    assert {PAD, BEGIN, END, FIRST_PIECE}.isdisjoint(piece for row in rows for piece in row)


@given(lines=LINES)
def test_loaded_vocabulary_is_the_saved_one(lines: list[str]) -> None:
    vocabulary = CharacterVocabulary.train(lines, languages=["fr", "es"])
    loaded = CharacterVocabulary.from_files(vocabulary.files())

    assert (loaded.characters, loaded.languages) == (vocabulary.characters, ("fr", "es"))
    assert loaded.encode(lines) == vocabulary.encode(lines)


@given(lines=LINES)
def test_order_of_the_corpus_does_not_matter(lines: list[str]) -> None:
    assert CharacterVocabulary.train(lines).files() == CharacterVocabulary.train(lines[::-1]).files()


def test_most_frequent_characters_are_taken_when_the_size_is_limited() -> None:
    vocabulary = CharacterVocabulary.train(["aabbb", "c"], size=FIRST_PIECE + 2)

    assert (vocabulary.characters, len(vocabulary)) == ("ba", FIRST_PIECE + 2)


def test_all_characters_are_taken_when_the_size_has_room_for_more() -> None:
    assert len(CharacterVocabulary.train(["aabbb", "c"], size=100)) == FIRST_PIECE + 3


def test_unseen_character_is_unknown_and_shown_as_such() -> None:
    vocabulary = CharacterVocabulary("ab")

    assert vocabulary.encode(["axb"]) == [[FIRST_PIECE, UNKNOWN, FIRST_PIECE + 1]]
    assert vocabulary.decode(vocabulary.encode(["axb"])) == ["a\N{REPLACEMENT CHARACTER}b"]


def test_composed_and_decomposed_letters_stay_what_they_are() -> None:
    texts = ["é", unicodedata.normalize("NFD", "é"), "ﬁ", "\u00a0"]
    vocabulary = CharacterVocabulary.train(texts)

    assert vocabulary.decode(vocabulary.encode(texts)) == texts


def test_control_characters_are_spaces() -> None:
    vocabulary = CharacterVocabulary.train(["a\tb\n"])

    assert vocabulary.encode(["a\nb"]) == vocabulary.encode(["a b"])
    assert "\t" not in vocabulary.characters


def test_decoded_text_is_one_line_whatever_the_characters() -> None:
    assert CharacterVocabulary("a\n").decode([[FIRST_PIECE, FIRST_PIECE + 1, FIRST_PIECE]]) == ["a a"]


def test_marks_are_left_out_of_the_text() -> None:
    vocabulary = CharacterVocabulary("a", ["fr"])

    assert vocabulary.decode([[BEGIN, vocabulary.language_piece("fr"), FIRST_PIECE + 1, END, PAD]]) == ["a"]


def test_target_languages_have_pieces_of_their_own() -> None:
    vocabulary = CharacterVocabulary("a", ["fr", "es"])

    assert vocabulary.languages == ("fr", "es")
    assert [vocabulary.language_piece(language) for language in ("fr", "es")] == [FIRST_PIECE, FIRST_PIECE + 1]
    assert vocabulary.encode(["a"]) == [[FIRST_PIECE + 2]]


def test_language_piece_is_refused_when_there_is_none() -> None:
    with pytest.raises(ConfigurationError, match="no piece for the target language 'fr'"):
        CharacterVocabulary("a").language_piece("fr")


@pytest.mark.parametrize(("characters", "languages"), [("aba", ["fr"]), ("ab", ["fr", "es", "fr"])])
def test_repeated_entries_are_refused(characters: str, languages: list[str]) -> None:
    with pytest.raises(ConfigurationError, match=r"of a character vocabulary must differ: '(a|fr)' is there twice"):
        CharacterVocabulary(characters, languages)


@pytest.mark.parametrize(("lines", "size"), [([], None), (["", ""], 50), (["abc"], 4), (["abc"], 5)])
def test_vocabulary_is_refused_when_it_would_have_no_character(lines: list[str], size: int | None) -> None:
    with pytest.raises(ConfigurationError, match=r"no character vocabulary can be made of . characters"):
        CharacterVocabulary.train(lines, size, ["fr"])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        json.dumps({"characters": "abc"}).encode(),
        json.dumps({"characters": ["a"], "languages": []}).encode(),
        json.dumps({"characters": "abc", "languages": "fr"}).encode(),
        json.dumps({"characters": "abc", "languages": [1]}).encode(),
    ],
)
def test_damaged_file_is_refused(content: bytes) -> None:
    with pytest.raises(ConfigurationError, match=r"characters\.json (does not hold|must hold)"):
        CharacterVocabulary.from_files({FILE: content})
