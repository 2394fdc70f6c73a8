"""Texts in, translations out."""

import pytest
import torch
from dragoman.errors import ConfigurationError
from dragoman.model.batching import BatchLimits
from dragoman.model.checkpoint import Checkpoint
from dragoman.model.decoding import SearchOptions
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


@pytest.mark.parametrize("beam_size", [1, 4])
def test_batch_equals_one_by_one_in_the_order_of_the_texts(translator: Translator, beam_size: int) -> None:
    options = SearchOptions(beam_size)
    together = translator.translate(TEXTS, options)
    alone = [translator.translate([text], options)[0] for text in TEXTS]

    assert texts_of(together) == texts_of(alone)
    assert [one.score for one in together] == pytest.approx([one.score for one in alone], abs=1e-4)


def test_translations_are_the_same_whatever_the_batch_limits(translator: Translator) -> None:
    narrow = translator.translate(TEXTS, limits=BatchLimits(tokens=20, rows=2))

    assert texts_of(narrow) == texts_of(translator.translate(TEXTS))


def test_equal_texts_have_equal_translations(translator: Translator) -> None:
    translations = translator.translate(TEXTS)

    assert translations[1].text == translations[4].text


def test_pieces_are_counted_without_marks(translator: Translator) -> None:
    counts = [translation.source_pieces for translation in translator.translate(TEXTS)]

    assert counts == [len(pieces) for pieces in translator.encode(TEXTS)]


def test_translation_is_at_most_twice_as_long_and_ten_pieces(translator: Translator) -> None:
    translations = translator.translate(TEXTS)

    assert all(one.target_pieces <= 2 * one.source_pieces + 10 for one in translations)


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
