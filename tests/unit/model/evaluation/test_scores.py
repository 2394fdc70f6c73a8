"""Test sets and scores."""

from pathlib import Path

import pytest
import torch
from dragoman.errors import ConfigurationError
from dragoman.model.checkpoint import Checkpoint
from dragoman.model.decoding import SearchOptions
from dragoman.model.evaluation import scores as evaluation
from dragoman.model.translator import Translator

LINE = "The small boat crosses the lake."


def test_score_is_100_when_the_hypotheses_are_the_references() -> None:
    quality = evaluation.score([LINE], [(LINE,)])

    assert (quality.bleu, quality.chrf) == pytest.approx((100, 100))


def test_score_is_low_when_nothing_agrees() -> None:
    assert evaluation.score([LINE], [("Deux rames oubliées dans un hangar.",)]).bleu < 10


def test_every_reference_counts() -> None:
    quality = evaluation.score([LINE], [("Something else was meant here, perhaps.", LINE)])

    assert quality.bleu == pytest.approx(100)


def test_segments_may_have_different_numbers_of_references() -> None:
    other = "Two oars lie on the wet sand."
    quality = evaluation.score([LINE, other], [("Another one entirely.", LINE), (other,)])

    assert quality.bleu == pytest.approx(100)


def test_quality_names_its_signatures() -> None:
    assert "tok:13a" in str(evaluation.score([LINE], [(LINE,)]))


def test_test_set_has_the_references_of_both_columns(tmp_path: Path) -> None:
    path = tmp_path / "dev.tsv"
    path.write_text("one\tun\tune ||| l'un\ntwo\tdeux\nthree\ttrois\t\n", encoding="utf-8")

    expected = evaluation.TestSet(("one", "two", "three"), (("un", "une", "l'un"), ("deux",), ("trois",)))
    assert evaluation.read_test_set(path) == expected


def test_test_set_is_refused_when_empty(tmp_path: Path) -> None:
    (tmp_path / "dev.tsv").touch()

    with pytest.raises(ConfigurationError, match=r"the test set .*dev\.tsv is empty"):
        evaluation.read_test_set(tmp_path / "dev.tsv")


def test_translator_is_measured_on_its_translations(tiny_checkpoint: Checkpoint) -> None:
    translator, options = Translator(tiny_checkpoint, torch.device("cpu")), SearchOptions(beam_size=1)
    [translation] = translator.translate([LINE], options)

    quality = evaluation.evaluate(translator, evaluation.TestSet((LINE,), ((translation.text,),)), options)

    assert quality.chrf == pytest.approx(100)
