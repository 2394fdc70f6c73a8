"""Monolingual text to a synthetic corpus."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
from dragoman.errors import ConfigurationError
from dragoman.model.decoding import SearchOptions
from dragoman.model.synthesis.back_translation import BackTranslation, back_translate
from dragoman.model.synthesis.chunk_translation import ChunkTranslation, SynthesisOptions, chunks_of
from dragoman.model.translator import Translator

# Few pieces: a network of random weights never ends by itself.
GREEDY = SearchOptions(beam_size=1, max_pieces=4)
Rows = Callable[[Path], list[list[str]]]


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.en"
    path.write_text("Warm bread.\n\nA long book.\nWarm bread.\n", encoding="utf-8")
    return path


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out.tsv.gz"


def translation(translator: Translator) -> ChunkTranslation:
    return ChunkTranslation(translator, SynthesisOptions(GREEDY), lambda _report: None)


def test_columns_are_synthetic_source_real_target_and_score(
    translator: Translator, text: Path, output: Path, rows: Rows
) -> None:
    counts = back_translate(BackTranslation(text, "en", "fr"), output, translation(translator))
    one, two = translator.translate(["Warm bread.", "A long book."], GREEDY)

    assert rows(output) == [
        [one.text, "Warm bread.", f"{one.score:.4f}"],
        [two.text, "A long book.", f"{two.score:.4f}"],
    ]
    assert counts["kept"] == 2


def test_real_text_stands_first_when_asked(translator: Translator, text: Path, output: Path, rows: Rows) -> None:
    back_translate(BackTranslation(text, "en", "fr", "real"), output, translation(translator))

    assert [row[0] for row in rows(output)] == ["Warm bread.", "A long book."]


def test_tag_is_put_before_the_synthetic_text_only(
    translator: Translator, text: Path, output: Path, rows: Rows
) -> None:
    back_translate(BackTranslation(text, "en", "fr", tag="<BT>"), output, translation(translator))

    assert [(row[0][:5], row[1][:4]) for row in rows(output)] == [("<BT> ", "Warm"), ("<BT> ", "A lo")]


def test_compressed_text_is_read(translator: Translator, tmp_path: Path, output: Path, rows: Rows) -> None:
    path = tmp_path / "text.en.gz"
    path.write_bytes(gzip.compress(b"Warm bread.\n"))
    back_translate(BackTranslation(path, "en", "fr"), output, translation(translator))

    assert [row[1] for row in rows(output)] == ["Warm bread."]


def test_chunks_are_gone_at_the_end(translator: Translator, text: Path, output: Path) -> None:
    back_translate(BackTranslation(text, "en", "fr"), output, translation(translator))

    assert not chunks_of(output).exists()


def test_empty_text_is_refused(translator: Translator, text: Path, output: Path) -> None:
    text.write_text("\n \n")

    with pytest.raises(ConfigurationError, match="is empty: there is nothing to translate"):
        back_translate(BackTranslation(text, "en", "fr"), output, translation(translator))


def test_text_that_is_not_utf8_is_refused_with_its_line(translator: Translator, text: Path, output: Path) -> None:
    text.write_bytes(b"Warm bread.\nd\xe9j\xe0 vu\n")

    with pytest.raises(ConfigurationError, match="line 2: not UTF-8"):
        back_translate(BackTranslation(text, "en", "fr"), output, translation(translator))


def test_pair_that_the_model_lacks_is_refused(translator: Translator, text: Path, output: Path) -> None:
    with pytest.raises(ConfigurationError, match="does not translate fr-en, only en-fr"):
        back_translate(BackTranslation(text, "fr", "en"), output, translation(translator))
