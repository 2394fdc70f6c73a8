"""Text to pieces and back."""

import pytest
from dragoman.errors import ConfigurationError
from dragoman.model.vocabularies.subwords import SubwordVocabulary
from dragoman.model.vocabularies.vocabulary import BEGIN, END, PAD, UNKNOWN
from hypothesis import given, settings
from hypothesis import strategies as st


def round_trip(tokenizer: SubwordVocabulary, text: str) -> str:
    return tokenizer.decode(tokenizer.encode([text]))[0]


@pytest.mark.parametrize(
    "text",
    [
        "The baker reads a warm book.",
        "Zażółć gęślą jaźń, 42 €!",
        "日本語の文",
        "naïve 🙂 emoji",
        "the text </s> is no end mark",
    ],
)
def test_text_comes_back_whatever_its_characters(tokenizer: SubwordVocabulary, text: str) -> None:
    assert round_trip(tokenizer, text) == text


@settings(deadline=None, max_examples=50)
@given(text=st.text(st.characters(codec="utf-8")))
def test_no_text_gives_special_pieces(tokenizer: SubwordVocabulary, text: str) -> None:
    assert {PAD, UNKNOWN, BEGIN, END}.isdisjoint(tokenizer.encode([text])[0])


@settings(deadline=None, max_examples=50)
@given(words=st.lists(st.text(st.sampled_from("abcXYZ019?!'éœßжñ日本🙂"), min_size=1)))
def test_words_come_back_whatever_their_order_and_length(tokenizer: SubwordVocabulary, words: list[str]) -> None:
    assert round_trip(tokenizer, " ".join(words)) == " ".join(words)


def test_empty_text_has_no_pieces(tokenizer: SubwordVocabulary) -> None:
    assert tokenizer.encode([""]) == [[]]


def test_line_ends_are_spaces_to_the_model(tokenizer: SubwordVocabulary) -> None:
    assert tokenizer.encode(["warm\nbread"]) == tokenizer.encode(["warm bread"])


@pytest.mark.parametrize("control", ["\n", "\r", "\x00"])
def test_text_has_no_control_characters_when_byte_pieces_spell_them(tokenizer: SubwordVocabulary, control: str) -> None:
    first_byte_piece = END + 1

    assert tokenizer.decode([[first_byte_piece + ord(control)]]) == [" "]


def test_vocabulary_has_the_size_asked_for(sentences: tuple[str, ...]) -> None:
    assert len(SubwordVocabulary.train(sentences, 320)) == 320


def test_loaded_tokenizer_encodes_as_the_trained_one(tokenizer: SubwordVocabulary, sentences: tuple[str, ...]) -> None:
    assert SubwordVocabulary(tokenizer.serialized).encode(sentences) == tokenizer.encode(sentences)


@pytest.mark.parametrize("size", [300, 100_000])
def test_vocabulary_is_refused_when_the_corpus_cannot_fill_it(size: int) -> None:
    with pytest.raises(ConfigurationError, match=f"no vocabulary of {size} pieces can be learned from this corpus"):
        SubwordVocabulary.train(["One short line."], size)


def test_vocabulary_is_refused_when_there_is_no_text() -> None:
    with pytest.raises(ConfigurationError, match="no vocabulary of 300 pieces"):
        SubwordVocabulary.train([], 300)


@pytest.mark.parametrize("content", [b"", b"not a model", bytes(200)])
def test_bytes_are_refused_when_they_are_no_model(content: bytes) -> None:
    with pytest.raises(ConfigurationError, match="SentencePiece model"):
        SubwordVocabulary(content)
