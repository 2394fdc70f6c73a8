"""BLEU, chrF and TER."""

import pytest
import torch
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
    shown = str(evaluation.score([LINE], [(LINE,)]))

    assert [name in shown for name in ("tok:13a", "nc:6", "tok:tercom")] == [True, True, True]


def test_ter_counts_edits_per_hundred_words_of_the_reference() -> None:
    quality = evaluation.score(["The small boat crosses the pond."], [(LINE,)])

    assert quality.ter == pytest.approx(100 / 6)


def test_sentence_chrf_takes_the_nearest_reference() -> None:
    assert evaluation.sentence_chrf(LINE, ["Something else was meant here.", LINE]) == pytest.approx(100)


def test_translator_is_measured_on_its_translations(tiny_checkpoint: Checkpoint) -> None:
    translator, options = Translator(tiny_checkpoint, torch.device("cpu")), SearchOptions(beam_size=1)
    [translation] = translator.translate([LINE], options)

    quality = evaluation.evaluate(translator, evaluation.TestSet((LINE,), ((translation.text,),)), options)

    assert quality.chrf == pytest.approx(100)
