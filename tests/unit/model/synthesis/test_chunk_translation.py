"""A stream of texts, translated chunk by chunk."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from dragoman.errors import ConfigurationError
from dragoman.model.decoding import SearchOptions
from dragoman.model.synthesis.chunk_translation import (
    ChunkTranslation,
    SynthesisOptions,
    SynthesisReport,
    Work,
    chunks_of,
)
from dragoman.model.translator import Translation, Translator

TEXTS = [f"The baker sells {count} breads." for count in ("two", "some", "all", "no", "warm", "many more")] + ["Yes."]
# Few pieces: a network of random weights never ends by itself.
GREEDY = SearchOptions(beam_size=1, max_pieces=4)
LONG = "bread " * 300
Rows = Callable[[Path], list[list[str]]]


class StoppingTranslator(Translator):
    """Is interrupted when it has translated so many segments."""

    def __init__(self, translator: Translator, segments: int) -> None:
        super().__init__(translator.checkpoint, translator.device)
        self.left = segments

    def translate(self, texts: Sequence[str], *arguments: Any, **options: Any) -> list[Translation]:
        self.left -= len(texts)
        if self.left < 0:
            raise KeyboardInterrupt
        return super().translate(texts, *arguments, **options)


def work(*texts: str) -> Work:
    def columns(source: str, translation: Translation) -> tuple[str, str]:
        return source, translation.text

    return Work("text en-fr", "fr", lambda: iter(texts), columns)


def translation_by(translator: Translator, chunk_segments: int = 2) -> ChunkTranslation:
    return ChunkTranslation(translator, SynthesisOptions(GREEDY, chunk_segments=chunk_segments), lambda _report: None)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out.tsv.gz"


@pytest.fixture(scope="module")
def expected(translator: Translator) -> list[list[str]]:
    return [[text, one.text] for text, one in zip(TEXTS, translator.translate(TEXTS, GREEDY), strict=True)]


def test_every_text_is_translated_in_order(
    translator: Translator, output: Path, rows: Rows, expected: list[list[str]]
) -> None:
    folder = translation_by(translator).run(work(*TEXTS), output, {})

    assert (rows(output), folder.counts["kept"]) == (expected, len(TEXTS))


@pytest.mark.parametrize("segments", range(len(TEXTS)))
def test_interrupted_job_goes_on_without_gaps_or_repeats(
    translator: Translator, output: Path, rows: Rows, expected: list[list[str]], segments: int
) -> None:
    with pytest.raises(KeyboardInterrupt):
        translation_by(StoppingTranslator(translator, segments)).run(work(*TEXTS), output, {})
    before = output.exists()
    translation_by(translator).run(work(*TEXTS), output, {})

    assert (before, rows(output)) == (False, expected)


def test_finished_chunks_are_not_translated_again(translator: Translator, output: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        translation_by(StoppingTranslator(translator, 5)).run(work(*TEXTS), output, {})
    rest = StoppingTranslator(translator, len(TEXTS))
    translation_by(rest).run(work(*TEXTS), output, {})

    assert rest.left == 4


def test_nothing_is_translated_when_all_is_done(translator: Translator, output: Path) -> None:
    translation_by(translator).run(work(*TEXTS), output, {})
    before = output.read_bytes()
    folder = translation_by(StoppingTranslator(translator, 0)).run(work(*TEXTS), output, {})

    assert (output.read_bytes(), folder.counts["kept"]) == (before, len(TEXTS))


def test_text_too_long_for_the_model_is_left_out_and_counted(translator: Translator, output: Path, rows: Rows) -> None:
    folder = translation_by(translator).run(work("Yes.", LONG, "No."), output, {})

    assert [source for source, _ in rows(output)] == ["Yes.", "No."]
    assert folder.counts["too long"] == 1


def test_empty_translation_is_left_out_and_counted(translator: Translator, output: Path, rows: Rows) -> None:
    class Silent(Translator):
        def translate(self, texts: Sequence[str], *_: object, **__: object) -> list[Translation]:
            return [Translation("" if text == "Yes." else "Non.", -1.0, 1, 1) for text in texts]

    silent = Silent(translator.checkpoint, translator.device)
    folder = translation_by(silent).run(work("Yes.", "No."), output, {})

    assert (rows(output), folder.counts["empty"]) == ([["No.", "Non."]], 1)


class Doubtful(Translator):
    """Sure of "No." alone."""

    def translate(self, texts: Sequence[str], *_: object, **__: object) -> list[Translation]:
        return [Translation("Non.", -0.3 if text == "No." else -0.7, 1, 1) for text in texts]


@pytest.mark.parametrize(("least", "kept", "unsure"), [(None, 2, 0), (-0.7, 2, 0), (-0.5, 1, 1), (-0.1, 0, 2)])
def test_translation_below_the_least_score_is_left_out_and_counted(
    translator: Translator, output: Path, rows: Rows, least: float | None, kept: int, unsure: int
) -> None:
    options = SynthesisOptions(GREEDY, min_score=least)
    doubtful = ChunkTranslation(Doubtful(translator.checkpoint, translator.device), options, lambda _report: None)
    folder = doubtful.run(work("Yes.", "No."), output, {})

    assert (len(rows(output)), folder.counts["kept"], folder.counts["unsure"]) == (kept, kept, unsure)


def test_other_least_score_is_refused_on_the_same_chunks(translator: Translator, output: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        translation_by(StoppingTranslator(translator, 2)).run(work(*TEXTS), output, {})
    other = ChunkTranslation(
        translator, SynthesisOptions(GREEDY, chunk_segments=2, min_score=-9.0), lambda _report: None
    )

    with pytest.raises(ConfigurationError, match="least score"):
        other.run(work(*TEXTS), output, {})


def test_other_search_is_refused_on_the_same_chunks(translator: Translator, output: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        translation_by(StoppingTranslator(translator, 2)).run(work(*TEXTS), output, {})
    other = ChunkTranslation(
        translator, SynthesisOptions(SearchOptions(beam_size=2, max_pieces=4)), lambda _report: None
    )

    with pytest.raises(ConfigurationError, match="holds the chunks of another job"):
        other.run(work(*TEXTS), output, {})


def test_chunks_lie_beside_the_file_that_they_become(output: Path) -> None:
    assert chunks_of(output) == output.parent / "out.tsv.gz.chunks"


def test_reports_count_up_to_all_texts(translator: Translator, output: Path) -> None:
    seen: list[SynthesisReport] = []
    ChunkTranslation(translator, SynthesisOptions(GREEDY, chunk_segments=4), seen.append).run(
        work(*TEXTS, LONG), output, {}
    )
    counts = [report.done for report in seen]

    assert (counts, counts[-1], seen[-1].total, seen[-1].translated) == (sorted(counts), 8, 8, 7)


def test_work_of_an_earlier_run_does_not_count_as_speed(translator: Translator, output: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        translation_by(StoppingTranslator(translator, 5)).run(work(*TEXTS), output, {})
    seen: list[SynthesisReport] = []
    ChunkTranslation(translator, SynthesisOptions(GREEDY), seen.append).run(work(*TEXTS), output, {})

    assert (seen[-1].done, seen[-1].translated) == (7, 3)


def test_time_left_follows_from_the_speed() -> None:
    report = SynthesisReport("text", done=40, total=100, translated=20, seconds=10)

    assert (report.segments_per_second, report.seconds_left) == (2, 30)


def test_time_left_is_unknown_before_anything_was_translated() -> None:
    assert SynthesisReport("text", 0, 100, 0, 0.0).seconds_left is None


def test_repeated_text_is_translated_once_and_counted(translator: Translator, output: Path, rows: Rows) -> None:
    folder = translation_by(translator).run(work("Yes.", "No.", "Yes.", "Warm bread.", "No."), output, {})

    assert [source for source, _ in rows(output)] == ["Yes.", "No.", "Warm bread."]
    assert (folder.counts["kept"], folder.counts["repeated"]) == (3, 2)


def test_repeats_are_counted_once_when_an_interrupted_job_goes_on(translator: Translator, output: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        translation_by(StoppingTranslator(translator, 2)).run(work(*TEXTS, *TEXTS), output, {})

    assert translation_by(translator).run(work(*TEXTS, *TEXTS), output, {}).counts["repeated"] == len(TEXTS)
