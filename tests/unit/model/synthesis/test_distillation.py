"""A teacher writes the student's corpus."""

import gzip
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dragoman.errors import ConfigurationError
from dragoman.model.decoding import SearchOptions
from dragoman.model.synthesis.chunk_translation import ChunkTranslation, SynthesisOptions
from dragoman.model.synthesis.distillation import Distilled, distil
from dragoman.model.training.config import TrainConfig
from dragoman.model.translator import Translator

# Few pieces: a network of random weights never ends by itself.
GREEDY = SearchOptions(beam_size=1, max_pieces=4)
Rows = Callable[[Path], list[list[str]]]
FIRST = "Warm bread.\tDu pain chaud.\nA long book.\tUn long livre.\nWarm bread.\tPain chaud.\n"
SECOND = "Un vieux pont.\tAn old bridge.\n\tEmpty.\n"


def config(**changes: Any) -> TrainConfig:
    values: dict[str, Any] = {
        "name": "student",
        "pairs": ["en-fr"],
        "output": "student",
        "data": {
            "corpora": [
                {"path": "first.tsv", "languages": ["en", "fr"], "weight": 2.5},
                {"path": "second.tsv.gz", "languages": ["fr", "en"]},
            ],
            "dev": [{"path": "first.tsv", "languages": ["en", "fr"]}],
        },
        "run": {"max_steps": 1},
        "card": {"licence": "CC0 1.0", "attribution": "Written for a test.", "note": "Tiny."},
    }
    return TrainConfig.model_validate(values | changes)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "first.tsv").write_text(FIRST, encoding="utf-8")
    (tmp_path / "second.tsv.gz").write_bytes(gzip.compress(SECOND.encode()))
    return tmp_path


def distilled(translator: Translator, folder: Path, student: TrainConfig) -> Distilled:
    translation = ChunkTranslation(translator, SynthesisOptions(GREEDY), lambda _report: None)
    return distil(student, folder, folder / "run", translation)


@pytest.fixture
def result(translator: Translator, folder: Path) -> Distilled:
    return distilled(translator, folder, config())


def test_every_source_is_translated_once_a_corpus(translator: Translator, result: Distilled, rows: Rows) -> None:
    sources = ["Warm bread.", "A long book."]
    expected = [
        [source, one.text, f"{one.score:.4f}"]
        for source, one in zip(sources, translator.translate(sources, GREEDY), strict=True)
    ]

    assert rows(Path(result.corpora[0].path)) == expected


def test_corpus_of_the_other_direction_gives_its_targets_as_sources(result: Distilled, rows: Rows) -> None:
    assert [row[0] for row in rows(Path(result.corpora[1].path))] == ["An old bridge."]


def test_languages_and_weights_stay(result: Distilled) -> None:
    assert [(corpus.languages, corpus.weight) for corpus in result.corpora] == [(("en", "fr"), 2.5), (("en", "fr"), 1)]


def test_corpora_lie_in_the_run_folder(folder: Path, result: Distilled) -> None:
    names = [str(Path(corpus.path).relative_to(folder)) for corpus in result.corpora]

    assert names == ["run/distilled/01.en-fr.tsv.gz", "run/distilled/02.en-fr.tsv.gz"]


def test_student_learns_from_the_teacher_alone(result: Distilled) -> None:
    assert result.alone(config()).data.corpora == result.corpora


def test_student_learns_from_the_originals_too_when_they_are_kept(result: Distilled) -> None:
    student = config()

    assert result.beside_originals(student).data.corpora == (*student.data.corpora, *result.corpora)


def test_card_names_the_teacher(translator: Translator, result: Distilled) -> None:
    note = result.alone(config()).card.note

    assert [part in note for part in (translator.version, "1606.07947", "Tiny.")] == [True] * 3


def test_second_distillation_gives_the_same_and_keeps_the_files(
    translator: Translator, folder: Path, result: Distilled
) -> None:
    before = [Path(corpus.path).stat().st_mtime_ns for corpus in result.corpora]
    again = distilled(translator, folder, config())

    assert (again, [Path(corpus.path).stat().st_mtime_ns for corpus in again.corpora]) == (result, before)


def test_changed_corpus_is_refused(translator: Translator, folder: Path, result: Distilled) -> None:
    (folder / "first.tsv").write_text("Another one.\tUn autre.\n")

    with pytest.raises(ConfigurationError, match="holds the chunks of another job"):
        distilled(translator, folder, config())


def test_pair_that_the_teacher_lacks_is_refused(translator: Translator, folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="does not translate fr-en, only en-fr"):
        distilled(translator, folder, config(pairs=["fr-en"]))


def test_each_direction_gets_a_corpus_that_teaches_it_alone(translator: Translator, folder: Path) -> None:
    both = replace(translator.checkpoint, pairs=(("en", "fr"), ("fr", "en")))

    result = distilled(Translator(both, translator.device), folder, config(pairs=["en-fr", "fr-en"]))

    assert {(corpus.languages, corpus.direction) for corpus in result.corpora} == {
        (("en", "fr"), "forward"),
        (("fr", "en"), "forward"),
    }


def test_empty_corpus_is_refused(translator: Translator, folder: Path) -> None:
    (folder / "first.tsv").write_text("")

    with pytest.raises(ConfigurationError, match="the corpus is empty"):
        distilled(translator, folder, config())
