"""Texts in, translations out."""

import pytest
import torch
from dragoman.errors import ConfigurationError
from dragoman.model.batching import BatchLimits
from dragoman.model.checkpoint import Checkpoint
from dragoman.model.decoding import Sampling, SearchOptions
from dragoman.model.translator import Translation, Translator, pad, resolve_device

TEXTS = [
    "Does your neighbour play the violin every evening near the old bridge?",
    "Yes.",
    "",
    "My sister sells warm bread in the morning.",
    "Yes.",
    "The river.",
]


@pytest.fixture(scope="module")
def translator(tiny_checkpoint: Checkpoint) -> Translator:
    return Translator(tiny_checkpoint, torch.device("cpu"))


def texts_of(translations: list[Translation]) -> list[str]:
    return [translation.text for translation in translations]


@pytest.mark.parametrize("options", [SearchOptions(1), SearchOptions(4), SearchOptions(sampling=Sampling(seed=2))])
def test_batch_equals_one_by_one_in_the_order_of_the_texts(translator: Translator, options: SearchOptions) -> None:
    together = translator.translate(TEXTS, options)

    assert together == [translator.translate([text], options)[0] for text in TEXTS]


def test_translations_are_the_same_whatever_the_batch_limits(translator: Translator) -> None:
    narrow = translator.translate(TEXTS, limits=BatchLimits(tokens=20, rows=2))

    assert narrow == translator.translate(TEXTS)


def test_equal_texts_have_equal_translations(translator: Translator) -> None:
    translations = translator.translate(TEXTS)

    assert translations[1].text == translations[4].text


def test_pieces_are_counted_without_marks(translator: Translator) -> None:
    counts = [translation.source_pieces for translation in translator.translate(TEXTS)]

    assert counts == [len(pieces) for pieces in translator.encode(TEXTS)]


def test_translation_is_at_most_twice_as_long_and_ten_pieces(translator: Translator) -> None:
    translations = translator.translate(TEXTS)

    assert all(one.target_pieces <= 2 * one.source_pieces + 10 for one in translations)


def test_alternatives_are_the_other_hypotheses_best_first(translator: Translator) -> None:
    [translation] = translator.translate(["The river."], SearchOptions(beam_size=4, n_best=3))
    scores = [translation.score, *(one.score for one in translation.alternatives)]

    assert len(scores) == 3
    assert scores == sorted(scores, reverse=True)
    assert {one.alternatives for one in translation.alternatives} == {()}


def test_one_best_has_no_alternatives(translator: Translator) -> None:
    assert {one.alternatives for one in translator.translate(TEXTS)} == {()}


@pytest.mark.parametrize("beam_size", [1, 3])
def test_score_is_the_mean_of_the_piece_scores(translator: Translator, beam_size: int) -> None:
    for translation in translator.translate(TEXTS, SearchOptions(beam_size)):
        assert len(translation.piece_scores) == translation.target_pieces + 1
        assert translation.score == pytest.approx(sum(translation.piece_scores) / len(translation.piece_scores))


def test_alignment_points_at_source_pieces_and_end(translator: Translator) -> None:
    for translation in translator.translate(TEXTS, SearchOptions(2, alignment="soft")):
        assert len(translation.alignment) == len(translation.attention) == translation.target_pieces
        assert {len(row) for row in translation.attention} <= {translation.source_pieces + 1}
        assert [sum(row) for row in translation.attention] == pytest.approx([1.0] * translation.target_pieces)
        assert list(translation.alignment) == [row.index(max(row)) for row in translation.attention]


@pytest.mark.parametrize("beam_size", [1, 3])
def test_translation_has_at_most_the_pieces_asked_for(translator: Translator, beam_size: int) -> None:
    translations = translator.translate(TEXTS, SearchOptions(beam_size, min_pieces=3, max_pieces=3))

    assert [one.target_pieces for one in translations] == [3] * len(TEXTS)


def test_more_pieces_can_be_asked_for_than_the_source_would_give(translator: Translator) -> None:
    [translation] = translator.translate([""], SearchOptions(1, min_pieces=40, max_pieces=50))

    assert 40 <= translation.target_pieces <= 50


@pytest.mark.parametrize("beam_size", [1, 3])
def test_a_minimum_is_kept_where_no_maximum_is_given(translator: Translator, beam_size: int) -> None:
    [translation] = translator.translate([""], SearchOptions(beam_size, min_pieces=100))

    assert 100 <= translation.target_pieces <= 127


@pytest.mark.parametrize(
    "options", [SearchOptions(max_pieces=128), SearchOptions(min_pieces=128), SearchOptions(prefix=(5,) * 128)]
)
def test_more_pieces_than_the_network_has_positions_are_refused(translator: Translator, options: SearchOptions) -> None:
    with pytest.raises(ConfigurationError, match="the model gives at most 127 pieces"):
        translator.translate(["Yes."], options)


@pytest.mark.parametrize("options", [SearchOptions(1), SearchOptions(3), SearchOptions(sampling=Sampling())])
def test_translation_begins_with_the_prefix(translator: Translator, options: SearchOptions) -> None:
    translations = translator.translate(TEXTS, translator.with_prefix(options, "Ma sœur lit"))

    assert {text.startswith("Ma sœur lit") for text in texts_of(translations)} == {True}


def test_empty_prefix_changes_nothing(translator: Translator) -> None:
    assert translator.with_prefix(SearchOptions(), "") == SearchOptions()


def test_known_pair_is_let_through(translator: Translator) -> None:
    translator.require_pair("en", "fr")


def test_unknown_pair_is_refused_with_the_known_ones(translator: Translator) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        translator.require_pair("fr", "en")

    assert str(refusal.value) == f"the model {translator.version} does not translate fr-en, only en-fr"


def test_no_texts_have_no_translations(translator: Translator) -> None:
    assert translator.translate([]) == []
    assert translator.translate_pieces([], SearchOptions()) == []


def test_too_long_text_is_refused(translator: Translator) -> None:
    long = "violin " * 80
    pieces = len(translator.encode([long])[0])

    with pytest.raises(ConfigurationError) as refusal:
        translator.translate(["Yes.", long])

    limit = translator.max_source_pieces
    assert str(refusal.value) == f"text 2 has {pieces} pieces, the model takes {limit}: split it into sentences"


@pytest.mark.parametrize("beam_size", [1, 2])
def test_longest_text_is_translated(translator: Translator, beam_size: int) -> None:
    longest = [list(range(10, 10 + translator.max_source_pieces))]

    [translation] = translator.translate_pieces(longest, SearchOptions(beam_size))
    assert translation.source_pieces == translator.max_source_pieces


def test_version_and_pairs_are_those_of_the_checkpoint(translator: Translator, tiny_checkpoint: Checkpoint) -> None:
    assert (translator.version, translator.pairs) == (tiny_checkpoint.version, (("en", "fr"),))


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cuda:-1", "meta", "cpu:1", ""])
def test_unknown_device_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="is no device: take cpu, cuda, cuda:N or auto"):
        resolve_device(name)


@pytest.mark.parametrize(("name", "devices"), [("cuda:99", 0), ("cuda:2", 2), ("cuda", 0)])
def test_absent_device_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, devices: int) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: devices)

    with pytest.raises(ConfigurationError, match=f"there is no device {name}: this machine has {devices} CUDA devices"):
        resolve_device(name)


@pytest.mark.parametrize(("available", "chosen"), [(True, "cuda:0"), (False, "cpu")])
def test_auto_takes_cuda_where_there_is_one(monkeypatch: pytest.MonkeyPatch, available: bool, chosen: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)

    assert resolve_device("auto") == torch.device(chosen)


def test_rows_are_filled_up_with_padding() -> None:
    assert pad([[5, 6, 7], [8], [9, 4]]).tolist() == [[5, 6, 7], [8, 0, 0], [9, 4, 0]]


def test_rows_are_filled_up_to_a_length() -> None:
    assert pad([[5], [6, 7]], 3).tolist() == [[5, 0, 0], [6, 7, 0]]


def test_longer_row_is_not_cut_to_a_length() -> None:
    assert pad([[5, 6, 7]], 2).tolist() == [[5, 6, 7]]
