"""The paired bootstrap."""

import random

import pytest
from dragoman.model.evaluation.comparison import PairedScore, compare

WORDS = ["boat", "lake", "oar", "wind", "mill", "bridge", "river", "stone", "bread", "book", "window", "morning"]
GENERATOR = random.Random(5)
REFERENCES = [(" ".join(GENERATOR.choices(WORDS, k=9)),) for _ in range(60)]
GOOD = [reference for (reference,) in REFERENCES]
# Every third segment lacks its last words.
WORSE = [text if place % 3 else " ".join(text.split()[:5]) for place, text in enumerate(GOOD)]


@pytest.fixture(scope="module")
def better() -> tuple[PairedScore, ...]:
    return compare(WORSE, GOOD, REFERENCES)


def test_both_metrics_are_compared(better: tuple[PairedScore, ...]) -> None:
    assert [paired.metric for paired in better] == ["BLEU", "chrF"]


def test_clear_difference_is_significant(better: tuple[PairedScore, ...]) -> None:
    assert [paired.verdict for paired in better] == ["better", "better"]
    assert all(paired.p_value < 0.05 < paired.gain for paired in better)


def test_clear_difference_the_other_way_is_worse() -> None:
    assert [paired.verdict for paired in compare(GOOD, WORSE, REFERENCES)] == ["worse", "worse"]


def test_same_translations_are_no_different() -> None:
    for paired in compare(WORSE, WORSE, REFERENCES):
        assert (paired.gain, paired.p_value, paired.verdict) == (0, 1.0, "no significant difference")


def test_one_segment_in_sixty_may_be_chance() -> None:
    slightly = [*GOOD[:-1], " ".join(GOOD[-1].split()[:8])]

    assert compare(GOOD, slightly, REFERENCES)[0].verdict == "no significant difference"


def test_result_is_the_same_every_time(better: tuple[PairedScore, ...]) -> None:
    assert compare(WORSE, GOOD, REFERENCES) == better


def test_interval_lies_around_the_score(better: tuple[PairedScore, ...]) -> None:
    baseline = better[0].baseline

    assert baseline.mean - baseline.half_width < baseline.score < baseline.mean + baseline.half_width


def test_segments_may_have_different_numbers_of_references() -> None:
    more = [(*row, WORSE[place]) if place % 2 else row for place, row in enumerate(REFERENCES)]

    assert compare(WORSE, GOOD, more)[0].candidate.score == pytest.approx(100)


def test_signature_tells_how_it_was_resampled(better: tuple[PairedScore, ...]) -> None:
    assert "bs:1000|seed:12345" in better[0].signature
