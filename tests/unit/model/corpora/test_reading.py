"""Reading and cleaning parallel text."""

import gzip
import lzma
from pathlib import Path

import pytest
from dragoman.errors import ConfigurationError
from dragoman.model.corpora.reading import CorpusReport, Pair, fault, read_corpus, read_pairs

LINES = "A red boat.\tUn bateau rouge.\tsecond reference\n  Two oars. \t Deux rames. \n"
PAIRS = [Pair("A red boat.", "Un bateau rouge."), Pair("Two oars.", "Deux rames.")]


def file_of(folder: Path, content: bytes, name: str = "corpus.tsv") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("corpus.tsv", LINES.encode()),
        ("corpus.tsv.gz", gzip.compress(LINES.encode())),
        ("corpus.tsv.xz", lzma.compress(LINES.encode())),
    ],
    ids=["plain", "gz", "xz"],
)
def test_pairs_are_read_however_the_file_is_compressed(tmp_path: Path, name: str, content: bytes) -> None:
    assert list(read_pairs(file_of(tmp_path, content, name))) == PAIRS


def test_line_without_tab_is_named(tmp_path: Path) -> None:
    path = file_of(tmp_path, b"one\tun\ntwo deux\n")

    with pytest.raises(ConfigurationError, match=r"corpus\.tsv, line 2: no tab between source and target"):
        list(read_pairs(path))


def test_file_is_refused_when_it_is_not_utf8(tmp_path: Path) -> None:
    path = file_of(tmp_path, "one\tun été\n".encode("latin-1"))

    with pytest.raises(ConfigurationError, match=r"corpus\.tsv, after line 0: not UTF-8; convert the file first"):
        list(read_pairs(path))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("truncated.gz", gzip.compress(LINES.encode())[:-12]),
        ("flipped.gz", gzip.compress(LINES.encode())[:10] + b"\xff" * 20),
        ("plain.gz", LINES.encode()),
        ("truncated.xz", lzma.compress(LINES.encode())[:-12]),
        ("plain.xz", LINES.encode()),
    ],
    ids=["truncated gz", "damaged gz", "no gz", "truncated xz", "no xz"],
)
def test_damaged_archive_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    with pytest.raises(ConfigurationError, match=f"the corpus file .*{name} cannot be read"):
        list(read_pairs(file_of(tmp_path, content, name)))


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"the corpus file .*absent\.tsv cannot be read: .*No such file"):
        list(read_pairs(tmp_path / "absent.tsv"))


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("", "un", "empty"),
        ("one", "", "empty"),
        ("a" * 41, "b" * 41, "too long"),
        ("a" * 40, "b" * 13, "length ratio"),
        ("a" * 40, "b" * 14, None),
        ("Go!", "Allez-y donc, je vous prie.", None),
    ],
)
def test_pair_has_the_fault(source: str, target: str, expected: str | None) -> None:
    assert fault(Pair(source, target), max_characters=40) == expected


def test_report_counts_what_was_dropped_and_why(tmp_path: Path) -> None:
    first = file_of(tmp_path, b"one\tun\none\tun\n\tdeux\n", "first.tsv")
    second = file_of(tmp_path, b"one\tun\none\tune\n", "second.tsv")
    report = CorpusReport()

    kept = list(read_corpus([first, second], report, max_characters=100))

    assert kept == [Pair("one", "un"), Pair("one", "une")]
    assert str(report) == "2 pairs kept; dropped: 2 duplicate, 1 empty"


def test_report_says_none_when_nothing_was_dropped() -> None:
    assert str(CorpusReport(kept=3)) == "3 pairs kept; dropped: none"
