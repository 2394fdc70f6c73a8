"""Marian's pieces, numbered our way."""

import io
import json

import pytest
import sentencepiece
from dragoman.errors import ConfigurationError
from dragoman.model.vocabularies.marian import MarianVocabulary
from dragoman.model.vocabularies.vocabulary import BEGIN, END, PAD, UNKNOWN
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.fixture(scope="module")
def models(sentences: tuple[str, ...]) -> tuple[bytes, bytes]:
    return train(sentences[0::2]), train(sentences[1::2])


@pytest.fixture(scope="module")
def vocabulary(models: tuple[bytes, bytes]) -> MarianVocabulary:
    return MarianVocabulary(models, [">>fra<<", ">>pt_BR<<", *sorted({*pieces(models[0]), *pieces(models[1])})])


def train(lines: tuple[str, ...]) -> bytes:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=model, vocab_size=90, hard_vocab_limit=False, minloglevel=2
    )
    return model.getvalue()


def pieces(model: bytes) -> list[str]:
    processor = sentencepiece.SentencePieceProcessor()
    processor.LoadFromSerializedProto(model)
    return [processor.id_to_piece(number) for number in range(3, len(processor))]


def test_target_text_comes_back(vocabulary: MarianVocabulary, sentences: tuple[str, ...]) -> None:
    french = list(sentences[1::2])

    assert vocabulary.decode(vocabulary.encode_target(french)) == french


def test_source_and_target_share_numbers_when_there_is_one_list(vocabulary: MarianVocabulary) -> None:
    assert vocabulary.encode(["e"]) == vocabulary.encode_target(["e"])


def test_source_and_target_have_own_numbers_when_there_are_two_lists(models: tuple[bytes, bytes]) -> None:
    vocabulary = MarianVocabulary(models, ["▁", "e"], ["e", "▁", "x"])

    assert (vocabulary.encode(["e"]), vocabulary.encode_target(["e"])) == ([[4, 5]], [[5, 4]])
    assert (vocabulary.source_size, len(vocabulary)) == (6, 7)


def test_piece_without_number_is_unknown(models: tuple[bytes, bytes]) -> None:
    assert MarianVocabulary(models, ["▁"]).encode(["☃"]) == [[4, UNKNOWN]]


@settings(deadline=None, max_examples=50)
@given(text=st.text(st.characters(codec="utf-8")))
def test_no_text_gives_a_mark(vocabulary: MarianVocabulary, text: str) -> None:
    assert {PAD, BEGIN, END}.isdisjoint(vocabulary.encode([text])[0])


def test_text_that_spells_a_language_piece_is_text(vocabulary: MarianVocabulary) -> None:
    assert vocabulary.language_piece("fr") not in vocabulary.encode([">>fra<< bread"])[0]


@pytest.mark.parametrize("name", ["fr", "fra"])
def test_language_has_its_piece_by_either_name(vocabulary: MarianVocabulary, name: str) -> None:
    assert vocabulary.language_piece(name) == 4


def test_languages_are_named_by_two_letters_where_they_can_be(vocabulary: MarianVocabulary) -> None:
    assert vocabulary.languages == ("fr", "pt_BR")


def test_unknown_language_is_refused(vocabulary: MarianVocabulary) -> None:
    with pytest.raises(ConfigurationError, match="no piece for the target language 'de'"):
        vocabulary.language_piece("de")


@settings(deadline=None, max_examples=50)
@given(rows=st.lists(st.lists(st.integers(0, 60)), max_size=3))
def test_any_pieces_give_one_line(vocabulary: MarianVocabulary, rows: list[list[int]]) -> None:
    assert all(text == text.strip() and len(text.splitlines()) <= 1 for text in vocabulary.decode(rows))


def test_files_give_the_same_vocabulary(vocabulary: MarianVocabulary) -> None:
    again = MarianVocabulary.from_files(vocabulary.files())

    assert again.files() == vocabulary.files()
    assert again.encode(["The old bridge"]) == vocabulary.encode(["The old bridge"])


def test_files_of_two_lists_give_the_same_vocabulary(models: tuple[bytes, bytes]) -> None:
    vocabulary = MarianVocabulary(models, ["▁", "e"], ["e", "▁", "x"])

    assert MarianVocabulary.from_files(vocabulary.files()).target_pieces == ("e", "▁", "x")


@pytest.mark.parametrize("name", ["source.spm", "target.spm"])
def test_damaged_model_is_refused_by_name(vocabulary: MarianVocabulary, name: str) -> None:
    files = {**vocabulary.files(), name: vocabulary.files()[name][:100]}

    with pytest.raises(ConfigurationError, match=f"{name} is not a SentencePiece model"):
        MarianVocabulary.from_files(files)


@pytest.mark.parametrize(
    "listed",
    ["not JSON", "[]", "{}", {"source": "abc", "target": None}, {"source": ["a", "a"], "target": None}],
)
def test_damaged_list_of_pieces_is_refused(vocabulary: MarianVocabulary, listed: object) -> None:
    content = listed if isinstance(listed, str) else json.dumps(listed)

    with pytest.raises(ConfigurationError, match=r"pieces\.json"):
        MarianVocabulary.from_files({**vocabulary.files(), "pieces.json": content.encode()})
