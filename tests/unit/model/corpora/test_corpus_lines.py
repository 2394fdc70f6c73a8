"""Lines of plain and compressed files."""

import gzip
import lzma
from pathlib import Path

import pytest
from dragoman.errors import ConfigurationError
from dragoman.model.corpora.lines import read_lines, text_lines

LINES = "one été\r\n two \n\nthree\u2028still three"
ARCHIVE = gzip.compress(LINES.encode() * 20)


def file_of(folder: Path, content: bytes, name: str = "corpus.txt") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("lines.txt", LINES.encode()),
        ("lines.gz", gzip.compress(LINES.encode())),
        ("lines.xz", lzma.compress(LINES.encode())),
        ("marked.txt", b"\xef\xbb\xbf" + LINES.encode()),
    ],
    ids=["plain", "gz", "xz", "byte order mark"],
)
def test_lines_are_read_however_the_file_is_stored(tmp_path: Path, name: str, content: bytes) -> None:
    assert list(text_lines(file_of(tmp_path, content, name))) == ["one été", " two ", "", "three\u2028still three"]


def test_monolingual_segments_have_no_empty_ones_among_them(tmp_path: Path) -> None:
    path = file_of(tmp_path, b"  one \n\n \ntwo")

    assert list(read_lines(path)) == ["one", "two"]


def test_line_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    path = file_of(tmp_path, "one\ntwo\nété\n".encode("latin-1"))

    with pytest.raises(ConfigurationError, match=r"corpus\.txt, line 3: not UTF-8; convert the file first"):
        list(text_lines(path))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("truncated.gz", ARCHIVE[:-12]),
        ("flipped.gz", ARCHIVE[:10] + b"\xff" * 20),
        ("checksum.gz", ARCHIVE[:-8] + bytes(8)),
        ("plain.gz", LINES.encode()),
        ("truncated.xz", lzma.compress(LINES.encode())[:-12]),
        ("plain.xz", LINES.encode()),
    ],
)
def test_damaged_archive_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    with pytest.raises(ConfigurationError, match=f"the corpus file .*{name} cannot be read: "):
        list(text_lines(file_of(tmp_path, content, name)))


@pytest.mark.parametrize("name", ["absent.txt", "absent.gz", "absent.xz"])
def test_missing_file_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"the corpus file .*{name} cannot be read: .*No such file"):
        list(text_lines(tmp_path / name))


def test_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot be read: .*directory"):
        list(text_lines(tmp_path))
