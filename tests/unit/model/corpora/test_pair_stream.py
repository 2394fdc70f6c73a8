"""Epochs of pairs out of several files."""

import itertools
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from dragoman.errors import ConfigurationError
from dragoman.model.corpora import formats
from dragoman.model.corpora import stream as streaming
from dragoman.model.corpora.cleaning import CleaningRules
from dragoman.model.corpora.corpus_file import CorpusFile, LabelledPair
from dragoman.model.corpora.stream import PairStream
from hypothesis import given, settings
from hypothesis import strategies as st

EN_FR, FR_EN, EN_DE = ("en", "fr"), ("fr", "en"), ("en", "de")
SIZES = {"boats": 120, "oars": 30, "sails": 7}
WEIGHTS = st.sampled_from([0.1, 0.25, 1 / 3, 0.5, 0.9, 1.0, 1.5, 2.0, 3.0])


def write(folder: Path, name: str, lines: list[str]) -> Path:
    path = folder / f"{name}.tsv"
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def numbered(name: str, count: int) -> list[str]:
    return [f"{name} {number}\tun {name} {number}" for number in range(count)]


@pytest.fixture(scope="session")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files of numbered pairs."""
    folder = tmp_path_factory.mktemp("corpora")
    return {name: write(folder, name, numbered(name, count)) for name, count in SIZES.items()}


def stream_of(paths: dict[str, Path], *weights: float, **options: Any) -> PairStream:
    files = [CorpusFile(path, EN_FR, weight) for path, weight in zip(paths.values(), weights, strict=False)]
    return PairStream(files, [EN_FR], **options)


def test_epoch_gives_every_pair_once_when_all_weights_are_one(paths: dict[str, Path]) -> None:
    stream = stream_of(paths, 1, 1, 1)

    expected = Counter(f"{name} {number}" for name, count in SIZES.items() for number in range(count))
    assert Counter(pair.source for pair in stream.epoch(0)) == expected


@settings(deadline=None, max_examples=30)
@given(weights=st.tuples(WEIGHTS, WEIGHTS, WEIGHTS), seed=st.integers(0, 5), first=st.integers(0, 1000))
def test_pair_comes_as_often_as_its_weight_says(
    paths: dict[str, Path], weights: tuple[float, float, float], seed: int, first: int
) -> None:
    stream = stream_of(paths, *weights, seed=seed)
    epochs = range(first, first + 4)

    times = Counter(pair.source for epoch in epochs for pair in stream.epoch(epoch))

    expected = {
        f"{name} {i}": 4 * w for w, (name, count) in zip(weights, SIZES.items(), strict=True) for i in range(count)
    }
    assert all(abs(times[source] - often) < 1 for source, often in expected.items())


@settings(deadline=None, max_examples=30)
@given(weight=WEIGHTS, epoch=st.integers(0, 1000))
def test_epoch_takes_its_share_of_every_stretch_of_a_file(paths: dict[str, Path], weight: float, epoch: int) -> None:
    taken = Counter(int(pair.source.split()[1]) // 40 for pair in stream_of(paths, weight).epoch(epoch))

    assert all(abs(taken[stretch] - 40 * weight) <= 3 for stretch in range(3))


def test_half_of_the_lines_come_now_and_the_other_half_next(paths: dict[str, Path]) -> None:
    stream = stream_of(paths, 0.5)

    first, second, third = ({pair.source for pair in stream.epoch(epoch)} for epoch in range(3))

    assert (first & second, len(first | second), first) == (set(), 120, third)


@settings(deadline=None, max_examples=20)
@given(weights=st.tuples(WEIGHTS, WEIGHTS, WEIGHTS), epoch=st.integers(0, 50), data=st.data())
def test_epoch_goes_on_anywhere(
    paths: dict[str, Path], weights: tuple[float, float, float], epoch: int, data: st.DataObject
) -> None:
    stream = stream_of(paths, *weights)
    pairs = list(stream.epoch(epoch))
    start = data.draw(st.integers(0, len(pairs)))

    assert (stream.size(epoch), list(stream_of(paths, *weights).epoch(epoch, start))) == (len(pairs), pairs[start:])


def test_files_are_mixed_in_proportion(paths: dict[str, Path]) -> None:
    names = [pair.source.split()[0] for pair in stream_of(paths, 1, 2).epoch(0)]

    parts = [Counter(names[start : start + 30]) for start in range(0, 180, 30)]
    assert parts == [Counter(boats=20, oars=10)] * 6


def test_file_serves_both_directions_when_both_are_wanted(tmp_path: Path) -> None:
    path = write(tmp_path, "both", ["one\tun"])

    stream = PairStream([CorpusFile(path, EN_FR)], [FR_EN, EN_FR])

    expected = [LabelledPair("one", "un", "en", "fr"), LabelledPair("un", "one", "fr", "en")]
    assert (list(stream.epoch(0)), stream.size(0), list(stream.epoch(0, 1))) == (expected, 2, expected[1:])


def test_file_serves_the_wanted_direction_alone(tmp_path: Path) -> None:
    path = write(tmp_path, "backward", ["one\tun"])

    stream = PairStream([CorpusFile(path, EN_FR)], [FR_EN])

    assert list(stream.epoch(0)) == [LabelledPair("un", "one", "fr", "en")]


def test_file_of_one_direction_serves_no_other(tmp_path: Path) -> None:
    forward, both = write(tmp_path, "forward", ["one\tun"]), write(tmp_path, "both", ["two\tdeux"])

    stream = PairStream([CorpusFile(forward, EN_FR, direction="forward"), CorpusFile(both, EN_FR)], [EN_FR, FR_EN])

    assert [pair.source for pair in stream.epoch(0)] == ["one", "two", "deux"]


def test_pair_that_only_a_file_of_the_other_direction_has_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "forward", ["one\tun"])

    with pytest.raises(ConfigurationError, match="no corpus file serves the pair fr-en"):
        PairStream([CorpusFile(path, EN_FR, direction="forward")], [EN_FR, FR_EN])


def test_texts_are_tidied(tmp_path: Path) -> None:
    path = write(tmp_path, "untidy", ["  one   e\u0301 \t un "])

    assert list(PairStream([CorpusFile(path, EN_FR)], [EN_FR]).epoch(0)) == [LabelledPair("one é", "un", "en", "fr")]


def test_duplicate_is_dropped_whatever_its_file_and_direction(tmp_path: Path) -> None:
    first = write(tmp_path, "first", ["one\tun", "one\tune", "one \tun", "two\tdeux"])
    turned = write(tmp_path, "turned", ["un\tone", "trois\tthree"])
    files = [CorpusFile(first, EN_FR), CorpusFile(turned, FR_EN)]

    stream = PairStream(files, [EN_FR])

    assert Counter(pair.source for pair in stream.epoch(0)) == {"one": 2, "two": 1, "three": 1}
    assert [file.dropped for file in stream.report.files] == [{"duplicate": 1}, {"duplicate": 1}]


def test_duplicates_stay_when_asked(tmp_path: Path) -> None:
    path = write(tmp_path, "twice", ["one\tun", "one\tun"])
    stream = PairStream([CorpusFile(path, EN_FR)], [EN_FR], CleaningRules(duplicates="keep"))

    assert len(list(stream.epoch(0))) == 2


def test_same_texts_in_other_languages_are_no_duplicate(tmp_path: Path) -> None:
    path = write(tmp_path, "hotel", ["hotel\thôtel"])

    stream = PairStream([CorpusFile(path, EN_FR), CorpusFile(path, EN_DE)], [EN_FR, EN_DE])

    assert stream.report.kept == 2


def reported(folder: Path) -> PairStream:
    first = write(folder, "first", ["one\tun", "\tdeux", "one\tun", f"{'a' * 500}\tb"])
    second = write(folder, "second", ["two\tdeux", "three\t"])
    return PairStream([CorpusFile(first, EN_FR), CorpusFile(second, FR_EN, 0.5)], [EN_FR])


def test_report_counts_what_was_dropped_and_why(tmp_path: Path) -> None:
    assert [line.removeprefix(f"{tmp_path.name}/") for line in reported(tmp_path).report.lines()] == [
        "first.tsv (en-fr): 1 pairs kept; dropped: 1 empty, 1 too long, 1 duplicate",
        "second.tsv (fr-en, weight 0.5): 1 pairs kept; dropped: 1 empty",
        "together: 2 pairs kept; dropped: 2 empty, 1 too long, 1 duplicate",
    ]


def test_report_says_none_when_nothing_was_dropped(paths: dict[str, Path]) -> None:
    assert str(stream_of(paths, 1).report) == "120 pairs kept; dropped: none"


def test_report_is_json(tmp_path: Path) -> None:
    found = json.loads(json.dumps(reported(tmp_path).report.as_json()))

    assert (found["kept"], found["dropped"], [file["read"] for file in found["files"]]) == (
        2,
        {"empty": 2, "too long": 1, "duplicate": 1},
        [4, 2],
    )


def test_empty_corpus_is_refused_with_its_report(tmp_path: Path) -> None:
    path = write(tmp_path, "nothing", ["\tun", "two\t"])

    with pytest.raises(ConfigurationError, match=r"empty after cleaning: .*nothing\.tsv \(en-fr\): 0 pairs.*: 2 empty"):
        _ = PairStream([CorpusFile(path, EN_FR)], [EN_FR]).report


def test_file_without_a_line_is_an_empty_corpus(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"empty after cleaning: .*0 pairs kept; dropped: none"):
        list(PairStream([CorpusFile(write(tmp_path, "void", []), EN_FR)], [EN_FR]).epoch(0))


@pytest.mark.parametrize(
    ("files", "pairs", "sentence"),
    [
        ([], [EN_FR], "a corpus needs at least one file"),
        ([CorpusFile(Path("a.tsv"), EN_FR)], [EN_DE], "a.tsv is en-fr, which serves none of the wanted pairs: en-de"),
        ([CorpusFile(Path("a.tsv"), EN_FR)], [], "serves none of the wanted pairs: none"),
        ([CorpusFile(Path("a.tsv"), EN_FR)], [EN_FR, EN_DE], "no corpus file serves the pair en-de"),
        ([CorpusFile(Path("a.pdf"), EN_FR)], [EN_FR], "a.pdf is of no known format"),
    ],
)
def test_corpus_that_cannot_serve_is_refused_at_once(
    files: list[CorpusFile], pairs: list[tuple[str, str]], sentence: str
) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        PairStream(files, pairs)


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_weight_that_is_no_share_is_refused(weight: float) -> None:
    with pytest.raises(ConfigurationError, match=r"the weight of a\.tsv must be above 0"):
        CorpusFile(Path("a.tsv"), EN_FR, weight)


@pytest.mark.parametrize("languages", [("en", "en"), ("en",), ("en", "fr", "de")])
def test_languages_that_are_not_two_are_refused(languages: Any) -> None:
    with pytest.raises(ConfigurationError, match="needs two different languages"):
        CorpusFile(Path("a.tsv"), languages)


def test_file_that_became_shorter_is_noticed(tmp_path: Path) -> None:
    path = write(tmp_path, "shrunk", numbered("boat", 5))
    stream = PairStream([CorpusFile(path, EN_FR)], [EN_FR])
    stream.report  # noqa: B018 - surveys
    write(tmp_path, "shrunk", numbered("boat", 4))

    with pytest.raises(ConfigurationError, match="has become shorter since it was surveyed"):
        list(stream.epoch(0))


def test_fingerprint_changes_with_a_pair_a_weight_and_a_seed(tmp_path: Path) -> None:
    path, other = write(tmp_path, "a", ["one\tun"]), write(tmp_path, "b", ["one\tdeux"])
    streams = [
        PairStream([CorpusFile(path, EN_FR)], [EN_FR]),
        PairStream([CorpusFile(other, EN_FR)], [EN_FR]),
        PairStream([CorpusFile(path, EN_FR, 2)], [EN_FR]),
        PairStream([CorpusFile(path, EN_FR)], [EN_FR], seed=2),
    ]

    prints = [stream.fingerprint for stream in streams]

    assert (len(set(prints)), PairStream([CorpusFile(path, EN_FR)], [EN_FR]).fingerprint) == (4, prints[0])


def test_rows_are_selected_across_blocks(paths: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = list(stream_of(paths, 0.5, 1.5).epoch(3))
    monkeypatch.setattr(streaming, "ROWS_AT_ONCE", 8)

    assert list(stream_of(paths, 0.5, 1.5).epoch(3)) == whole


def test_one_pair_a_file_is_read_ahead_at_most(paths: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    stream, read = stream_of(paths, 1, 1), itertools.count()
    stream.report  # noqa: B018 - surveys
    reader = formats.read_pairs
    monkeypatch.setattr(streaming, "read_pairs", lambda *of: (next(read) is not None and pair for pair in reader(*of)))

    list(itertools.islice(stream.epoch(0), 10))

    assert next(read) == 10
