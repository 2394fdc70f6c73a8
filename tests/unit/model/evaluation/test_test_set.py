"""Test sets as they stand in files."""

import gzip
from pathlib import Path

import pytest
from dragoman.errors import ConfigurationError
from dragoman.model.evaluation import test_set as sets
from dragoman.model.evaluation.test_set import named_languages, read_direction, read_test_set

ROWS = "one\tun\nboat\tbateau\n"


def write(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8")
    return path


def test_third_column_holds_further_references_when_one_line_parts_them(tmp_path: Path) -> None:
    path = write(tmp_path / "dev.tsv", "one\tun\tune ||| l'un\ntwo\tdeux\nthree\ttrois\t\nfour\tquatre\t4\n")

    references = (("un", "une", "l'un"), ("deux",), ("trois",), ("quatre", "4"))
    assert read_test_set(path) == sets.TestSet(("one", "two", "three", "four"), references)


def test_third_column_is_left_alone_when_it_parts_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "dev.tsv", "one\tun\tnews-1\ntwo\tdeux\tnews-2\n")

    assert read_test_set(path).references == (("un",), ("deux",))


def test_test_set_is_refused_when_empty(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"the test set .*dev\.tsv is empty"):
        read_test_set(write(tmp_path / "dev.tsv", ""))


def test_segment_without_reference_is_refused_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"dev\.tsv, line 2: there is no reference in column 2"):
        read_test_set(write(tmp_path / "dev.tsv", "one\tun\ntwo\t \n"))


def test_segment_without_source_is_refused_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"dev\.tsv, line 1: there is no source in column 1"):
        read_test_set(write(tmp_path / "dev.tsv", "\tun\n"))


def test_column_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no reference in column 3"):
        read_test_set(write(tmp_path / "dev.tsv", ROWS), (0, 2))


def test_line_without_tab_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="line 1: no tab"):
        read_test_set(write(tmp_path / "dev.tsv", "only a source\n"))


@pytest.mark.parametrize(
    ("name", "languages"),
    [
        ("dev.en-fr.tsv.gz", ("en", "fr")),
        ("val.en-de-fr.tsv", ("en", "de", "fr")),
        ("en-fr.tsv", ("en", "fr")),
        ("dev-set.tsv", ()),
        ("newstest2013.tsv.xz", ()),
    ],
)
def test_languages_of_the_columns_are_read_off_the_name(name: str, languages: tuple[str, ...]) -> None:
    assert named_languages(Path(name)) == languages


def test_file_is_read_the_other_way_round_when_its_name_says_so(tmp_path: Path) -> None:
    path = write(tmp_path / "dev.en-fr.tsv", "one\tun\tune ||| l'un\n")

    assert read_direction(path, "fr", "en") == sets.TestSet(("un",), (("one",),))


def test_columns_are_source_and_reference_when_the_name_says_nothing(tmp_path: Path) -> None:
    assert read_direction(write(tmp_path / "dev.tsv", ROWS), "fr", "en").sources == ("one", "boat")


def test_third_language_is_found_by_the_name(tmp_path: Path) -> None:
    path = tmp_path / "val.en-de-fr.tsv.gz"
    path.write_bytes(gzip.compress(b"one\teins\tun\n"))

    assert read_direction(path, "fr", "de") == sets.TestSet(("un",), (("eins",),))


def test_pair_that_the_file_does_not_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="are en, fr by its name: it cannot test en-de"):
        read_direction(write(tmp_path / "dev.en-fr.tsv", ROWS), "en", "de")


def test_reversed_set_has_the_first_references_as_sources() -> None:
    samples = sets.TestSet(("one", "two"), (("un", "une"), ("deux",)))

    assert samples.reversed() == sets.TestSet(("un", "deux"), (("one",), ("two",)))


def test_sample_is_the_same_for_the_same_seed_and_keeps_the_order() -> None:
    numbers = tuple(map(str, range(100)))
    samples = sets.TestSet(numbers, tuple((number,) for number in numbers))
    drawn = samples.sample(10, seed=3)

    assert (drawn, len(drawn.sources)) == (samples.sample(10, seed=3), 10)
    assert list(drawn.sources) == sorted(drawn.sources, key=int)
    assert drawn != samples.sample(10, seed=4)


def test_sample_of_more_than_there_is_is_everything() -> None:
    samples = sets.TestSet(("one",), (("un",),))

    assert samples.sample(5, seed=1) == samples
