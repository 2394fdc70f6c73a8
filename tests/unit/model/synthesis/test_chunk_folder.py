"""Chunks on disk."""

import gzip
import json
from pathlib import Path

import pytest
from dragoman.errors import ConfigurationError
from dragoman.model.synthesis.chunk_folder import ChunkFolder

IDENTITY = {"model": "tiny@1", "text": "abc"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "out.tsv.gz.chunks"


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out.tsv.gz"


def opened(folder: Path) -> ChunkFolder:
    return ChunkFolder(folder, IDENTITY, 10)


def filled(folder: Path) -> ChunkFolder:
    chunks = opened(folder)
    chunks.add(1, [("two", "deux")], {"kept": 1, "empty": 2})
    chunks.add(0, [("one", "un"), ("half", "demi")], {"kept": 2})
    return chunks


def lines(path: Path) -> list[str]:
    return gzip.decompress(path.read_bytes()).decode().splitlines()


def test_chunks_are_joined_in_order(folder: Path, output: Path) -> None:
    filled(folder).join(output)

    assert lines(output) == ["one\tun", "half\tdemi", "two\tdeux"]


def test_chunk_files_are_gone_when_joined(folder: Path, output: Path) -> None:
    filled(folder).join(output)

    assert [path.name for path in folder.iterdir()] == ["manifest.json"]


def test_finished_chunks_are_known_when_opened_again(folder: Path) -> None:
    filled(folder)
    again = opened(folder)

    assert [again.has(number) for number in range(3)] == [True, True, False]
    assert again.counts == {"kept": 3, "empty": 2}


@pytest.mark.parametrize("damage", [b"", b"something else altogether"])
def test_damaged_chunk_counts_as_not_there(folder: Path, damage: bytes) -> None:
    filled(folder)
    (folder / "00001.tsv.gz").write_bytes(damage)

    assert (opened(folder).has(0), opened(folder).has(1)) == (True, False)


def test_chunk_that_no_manifest_names_was_never_there(folder: Path) -> None:
    opened(folder)
    (folder / "00000.tsv.gz").write_bytes(gzip.compress(b"one\tun\n"))

    assert not opened(folder).has(0)


def test_joined_file_is_known_when_opened_again(folder: Path, output: Path) -> None:
    filled(folder).join(output)

    assert opened(folder).is_joined(output)


def test_everything_is_made_again_when_the_joined_file_is_lost(folder: Path, output: Path) -> None:
    filled(folder).join(output)
    output.unlink()
    again = opened(folder)

    assert (again.is_joined(output), again.has(0), dict(again.counts)) == (False, False, {})


def test_another_job_is_refused_and_the_difference_named(folder: Path) -> None:
    filled(folder)

    with pytest.raises(ConfigurationError, match=r"another job \(model was tiny@1, is other@2\)"):
        ChunkFolder(folder, IDENTITY | {"model": "other@2"}, 10)


def test_chunk_size_stays_what_it_was(folder: Path) -> None:
    filled(folder)

    assert ChunkFolder(folder, IDENTITY, 99).chunk_segments == 10


@pytest.mark.parametrize("content", ["", "[]", "{}", json.dumps({"identity": IDENTITY, "chunk_segments": "many"})])
def test_damaged_manifest_is_a_sentence(folder: Path, content: str) -> None:
    folder.mkdir()
    (folder / "manifest.json").write_text(content)

    with pytest.raises(ConfigurationError, match=r"manifest\.json is damaged"):
        opened(folder)


def test_folder_that_is_a_file_is_a_sentence(folder: Path) -> None:
    folder.touch()

    with pytest.raises(ConfigurationError, match="cannot be used"):
        opened(folder)


def test_earlier_chunks_stay_when_the_disk_is_full(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chunks = filled(folder)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ConfigurationError, match=r"00002\.tsv\.gz cannot be written.*No space left"):
        chunks.add(2, [("three", "trois")], {"kept": 1})

    again = opened(folder)
    assert [again.has(number) for number in range(3)] == [True, True, False]
    assert sorted(path.name for path in folder.iterdir()) == ["00000.tsv.gz", "00001.tsv.gz", "manifest.json"]


def test_tab_or_line_break_in_a_cell_does_not_break_the_row(folder: Path, output: Path) -> None:
    chunks = opened(folder)
    chunks.add(0, [("a\tb", "c\r\nd\xa0e")], {})
    chunks.join(output)

    assert lines(output) == ["a b\tc d\xa0e"]


def test_same_rows_make_the_same_file(tmp_path: Path) -> None:
    contents = []
    for name in ("one", "two"):
        filled(tmp_path / name).join(tmp_path / f"{name}.tsv.gz")
        contents.append((tmp_path / f"{name}.tsv.gz").read_bytes())

    assert contents[0] == contents[1]
