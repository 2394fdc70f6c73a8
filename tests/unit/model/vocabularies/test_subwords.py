"""Text to pieces and back."""

from typing import Literal

import pytest
from dragoman.errors import ConfigurationError
from dragoman.model.vocabularies.subwords import SubwordRules, SubwordVocabulary
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


@pytest.mark.parametrize("algorithm", ["unigram", "bpe"])
def test_vocabulary_has_the_size_asked_for(sentences: tuple[str, ...], algorithm: Literal["unigram", "bpe"]) -> None:
    assert len(SubwordVocabulary.train(sentences, 320, algorithm=algorithm)) == 320


def test_same_corpus_gives_the_same_vocabulary(tokenizer: SubwordVocabulary, sentences: tuple[str, ...]) -> None:
    assert SubwordVocabulary.train(sentences, len(tokenizer)).files() == tokenizer.files()


def test_loaded_tokenizer_encodes_as_the_trained_one(tokenizer: SubwordVocabulary, sentences: tuple[str, ...]) -> None:
    assert SubwordVocabulary(tokenizer.serialized).encode(sentences) == tokenizer.encode(sentences)


@pytest.mark.parametrize(
    ("lines", "size", "reason"),
    [
        (["One short line."], 100, "its characters and the marks alone are 272"),
        (["One short line."], 100_000, "it has text for "),
        (["One short line."], 0, "there must be some"),
        ([], 300, "it has no text"),
        (["", " "], 300, "it has no text"),
    ],
)
def test_vocabulary_is_refused_when_the_corpus_does_not_give_it(lines: list[str], size: int, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=f"no vocabulary of {size} pieces can be learned .*: {reason}"):
        SubwordVocabulary.train(lines, size)


def test_target_languages_have_pieces_of_their_own(sentences: tuple[str, ...]) -> None:
    vocabulary = SubwordVocabulary.train(sentences, 340, ("fr", "pt-BR"))

    assert vocabulary.languages == ("fr", "pt-BR")
    assert {vocabulary.language_piece("fr"), vocabulary.language_piece("pt-BR")} == {END + 1, END + 2}


def test_language_piece_is_refused_when_there_is_none(tokenizer: SubwordVocabulary) -> None:
    with pytest.raises(ConfigurationError, match="no piece for the target language 'fr'"):
        tokenizer.language_piece("fr")


def test_text_cannot_spell_a_language_piece(sentences: tuple[str, ...]) -> None:
    vocabulary = SubwordVocabulary.train(sentences, 340, ("fr",))

    assert vocabulary.language_piece("fr") not in vocabulary.encode(["<2fr> I read."])[0]


@pytest.mark.parametrize("languages", [("fr", "fr"), ("",), ("f r",), ("<fr>",)])
def test_languages_are_refused_when_they_are_no_names_or_the_same(languages: tuple[str, ...]) -> None:
    with pytest.raises(ConfigurationError, match="the languages of a vocabulary must differ and have names: not"):
        SubwordVocabulary.train(["One short line."], 300, languages)


@pytest.mark.parametrize(("normalisation", "text"), [("nmt_nfkc", "Oui ! fin"), ("identity", "Oui\u202f! ﬁn")])
def test_no_break_spaces_and_ligatures_are_kept_when_asked_for(
    sentences: tuple[str, ...], normalisation: Literal["nmt_nfkc", "identity"], text: str
) -> None:
    vocabulary = SubwordVocabulary.train(sentences, 330, rules=SubwordRules(normalisation))

    assert round_trip(vocabulary, "Oui\u202f! ﬁn") == text


@pytest.fixture(scope="module")
def verbatim(sentences: tuple[str, ...]) -> SubwordVocabulary:
    """A vocabulary that keeps every character."""
    return SubwordVocabulary.train(sentences, 330, rules=SubwordRules("identity"))


# Not SentencePiece's own mark of a space, and no space at either end.
WORDS = st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters=" ▁"), min_size=1))


@settings(deadline=None, max_examples=100)
@given(words=WORDS)
def test_every_character_comes_back_when_none_is_normalised(verbatim: SubwordVocabulary, words: list[str]) -> None:
    assert round_trip(verbatim, " ".join(words)) == " ".join(words)


@pytest.mark.parametrize("control", ["\n", "\r", "\t", "\x00"])
def test_control_characters_are_spaces_though_none_is_normalised(verbatim: SubwordVocabulary, control: str) -> None:
    assert verbatim.encode([f"warm{control}bread"]) == verbatim.encode(["warm bread"])


def test_lines_that_are_too_long_teach_nothing(sentences: tuple[str, ...]) -> None:
    rules = SubwordRules(max_line_bytes=60)
    long = "zebra " * 50

    assert SubwordVocabulary.train([*sentences, long], 320, rules=rules).files() == (
        SubwordVocabulary.train(sentences, 320, rules=rules).files()
    )


def test_large_corpus_is_drawn_from(sentences: tuple[str, ...]) -> None:
    corpus = [f"{number} {line}" for number in range(50) for line in sentences]
    drawn = SubwordVocabulary.train(corpus, 320, rules=SubwordRules(max_lines=40))

    assert drawn.files() == SubwordVocabulary.train(corpus, 320, rules=SubwordRules(max_lines=40)).files()
    assert drawn.files() != SubwordVocabulary.train(corpus, 320, rules=SubwordRules(max_lines=40, seed=2)).files()


@pytest.mark.parametrize("content", [b"", b"not a model", bytes(200)])
def test_bytes_are_refused_when_they_are_no_model(content: bytes) -> None:
    with pytest.raises(ConfigurationError, match="SentencePiece model"):
        SubwordVocabulary(content)
