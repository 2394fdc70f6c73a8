"""A translator run over a test set."""

from dataclasses import replace

import pytest
import torch
from dragoman.model.batching import BatchLimits, padding_ratio
from dragoman.model.checkpoint import Checkpoint
from dragoman.model.decoding import SearchOptions
from dragoman.model.evaluation import scores
from dragoman.model.evaluation.measuring import Measurement, MeasuringOptions, length_buckets, measure
from dragoman.model.evaluation.scores import score
from dragoman.model.translator import Translator

SOURCES = ("Yes.", "The small boat crosses the lake.", "No.", "Two oars lie on the wet sand near the old hut.")
# Few pieces: a network of random weights never ends by itself.
GREEDY = SearchOptions(beam_size=1, max_pieces=4)


@pytest.fixture(scope="module")
def translator(tiny_checkpoint: Checkpoint) -> Translator:
    return Translator(tiny_checkpoint, torch.device("cpu"))


def measured(translator: Translator, *sources: str, rows: int = 2) -> Measurement:
    test_set = scores.TestSet(sources, tuple((source,) for source in sources))
    options = MeasuringOptions(GREEDY, BatchLimits(tokens=10_000, rows=rows))
    return measure(translator, test_set, "fr", options, lambda _done, _total: None)


def test_translations_are_those_of_the_translator_in_the_order_of_the_sources(translator: Translator) -> None:
    expected = [one.text for one in translator.translate(SOURCES, GREEDY)]

    assert list(measured(translator, *SOURCES).translations) == expected


def test_quality_is_that_of_the_translations(translator: Translator) -> None:
    found = measured(translator, *SOURCES)

    assert found.quality == score(found.translations, [(source,) for source in SOURCES])


def test_segment_too_long_for_the_model_counts_with_an_empty_translation(translator: Translator) -> None:
    found = measured(translator, "Yes.", "lake " * 300)

    assert (found.too_long, found.translations[1], found.speed.segments) == (1, "", 1)
    assert found.translations[0] == measured(translator, "Yes.").translations[0]


def test_padding_is_counted_as_batches_were_made(translator: Translator) -> None:
    lengths = sorted(len(pieces) + 1 for pieces in translator.encode(SOURCES))

    assert measured(translator, *SOURCES, rows=2).speed.padding_ratio == padding_ratio([lengths[:2], lengths[2:]])


def test_no_batch_has_padding_when_each_has_one_row(translator: Translator) -> None:
    assert measured(translator, *SOURCES, rows=1).speed.padding_ratio == 0


def test_speed_counts_segments_and_pieces_and_names_the_device(translator: Translator) -> None:
    speed = measured(translator, *SOURCES).speed
    pieces = sum(one.target_pieces for one in translator.translate(SOURCES, GREEDY))

    assert (speed.segments, speed.target_pieces, speed.device, speed.threads) == (4, pieces, "cpu", 1)
    assert speed.segments_per_second == pytest.approx(4 / speed.seconds)
    assert speed.target_pieces_per_second == pytest.approx(pieces / speed.seconds)


def test_progress_ends_with_all_that_fit(translator: Translator) -> None:
    seen: list[tuple[int, int]] = []
    sources = (*SOURCES, "lake " * 300)
    test_set = scores.TestSet(sources, tuple((source,) for source in sources))
    options = MeasuringOptions(GREEDY, BatchLimits(10_000, rows=3))
    measure(translator, test_set, "fr", options, lambda done, total: seen.append((done, total)))

    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def with_lengths(translator: Translator, *lengths: int) -> tuple[Measurement, scores.TestSet]:
    texts = tuple(f"segment number {number}" for number in range(len(lengths)))
    found = measured(translator, "Yes.")
    return replace(found, translations=texts, source_pieces=lengths), scores.TestSet(
        texts, tuple((text,) for text in texts)
    )


def test_buckets_hold_every_segment_once_by_its_length(translator: Translator) -> None:
    buckets = length_buckets(*with_lengths(translator, 0, 1, 5, 6, 10, 50, 51, 400))

    assert [(bucket.name, bucket.segments) for bucket in buckets] == [
        ("1-5", 3),
        ("6-10", 2),
        ("31-50", 1),
        ("51 or more", 2),
    ]


def test_bucket_is_scored_on_its_own_segments(translator: Translator) -> None:
    measurement, test_set = with_lengths(translator, 3, 30)
    broken = replace(measurement, translations=(measurement.translations[0], "nothing of the kind"))
    short, long = length_buckets(broken, test_set)

    assert (short.quality.chrf, long.quality.chrf < 30) == (pytest.approx(100), True)
