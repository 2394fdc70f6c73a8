"""Checkpoints are kept by their content, written once, and never used when they are not what was registered."""

import secrets
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest
from dragoman.errors import ConfigurationError
from dragoman.model.manifest import CheckpointError, read_manifest
from dragoman.model.vocabularies.subwords import SubwordVocabulary
from dragoman.tests.tiny_checkpoints import save_tiny, tiny_vocabulary
from dragoman.worker.registry.artifacts import ArtifactError, fetch, fetched, keep


@pytest.fixture(scope="module")
def vocabulary() -> SubwordVocabulary:
    return tiny_vocabulary()


@pytest.fixture
def checkpoint(vocabulary: SubwordVocabulary, tmp_path: Path) -> Path:
    return save_tiny(tmp_path / "small", vocabulary)


@pytest.fixture(params=["folder", "file", "memory"])
def base_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    folder = str(tmp_path / "artifacts")
    return {"folder": folder, "file": f"file://{folder}", "memory": f"memory://{secrets.token_hex(4)}"}[request.param]


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_checkpoint_comes_back_as_it_was_kept(checkpoint: Path, base_url: str, tmp_path: Path) -> None:
    url = keep(checkpoint, base_url)
    sha256 = read_manifest(checkpoint).sha256

    assert url.endswith(sha256)
    assert content(fetch(url, sha256, tmp_path / "cache")) == content(checkpoint)


def test_nothing_is_written_when_the_content_is_kept_already(checkpoint: Path, tmp_path: Path) -> None:
    kept = Path(keep(checkpoint, str(tmp_path / "kept")).removeprefix("file://"))
    before = {path.name: path.stat().st_mtime_ns for path in kept.iterdir()}
    keep(checkpoint, str(tmp_path / "kept"))

    assert {path.name: path.stat().st_mtime_ns for path in kept.iterdir()} == before


def test_a_copy_that_was_cut_off_is_made_again(checkpoint: Path, tmp_path: Path) -> None:
    kept = Path(keep(checkpoint, str(tmp_path / "kept")).removeprefix("file://"))
    (kept / "manifest.json").unlink()
    (kept / "model.safetensors").write_bytes(b"half")
    keep(checkpoint, str(tmp_path / "kept"))

    assert content(kept) == content(checkpoint)


def test_a_damaged_checkpoint_is_not_kept(checkpoint: Path, tmp_path: Path) -> None:
    (checkpoint / "model.safetensors").write_bytes(b"other")
    with pytest.raises(CheckpointError, match="was changed"):
        keep(checkpoint, str(tmp_path / "kept"))

    assert not (tmp_path / "kept").exists()


def test_files_are_refused_when_they_are_another_checkpoint(
    checkpoint: Path, vocabulary: SubwordVocabulary, tmp_path: Path, base_url: str
) -> None:
    other = keep(save_tiny(tmp_path / "other", vocabulary), base_url)
    with pytest.raises(ArtifactError, match="another content"):
        fetch(other, read_manifest(checkpoint).sha256, tmp_path / "cache")


def test_a_cached_copy_is_fetched_again_when_it_is_damaged(checkpoint: Path, tmp_path: Path) -> None:
    url, sha256 = keep(checkpoint, f"memory://{secrets.token_hex(4)}"), read_manifest(checkpoint).sha256
    folder = fetch(url, sha256, tmp_path / "cache")
    (folder / "config.json").write_text("{}")

    assert content(fetch(url, sha256, tmp_path / "cache")) == content(checkpoint)


def test_a_cached_copy_is_used_when_the_place_does_not_answer(checkpoint: Path, tmp_path: Path) -> None:
    url, sha256 = keep(checkpoint, f"memory://{secrets.token_hex(4)}"), read_manifest(checkpoint).sha256
    fetch(url, sha256, tmp_path / "cache")
    fsspec.filesystem("memory").rm(url, recursive=True)

    assert content(fetch(url, sha256, tmp_path / "cache")) == content(checkpoint)


@pytest.mark.parametrize("open_place", [lambda url, cache: fetch(url, "0" * 64, cache), fetched])
def test_the_extra_is_named_when_a_url_cannot_be_opened(open_place: Callable[..., object], tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"dragoman\[s3\]"), open_place("strange://x", tmp_path):  # type: ignore[attr-defined]
        pass


def test_the_place_is_named_when_nothing_is_there(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="cannot be copied"):
        fetch("memory://nowhere", "0" * 64, tmp_path / "cache")


def test_a_checkpoint_behind_a_url_can_be_registered(checkpoint: Path, tmp_path: Path) -> None:
    url = keep(checkpoint, f"memory://{secrets.token_hex(4)}")
    with fetched(url, tmp_path / "cache") as folder:
        assert content(folder) == content(checkpoint)
    assert not folder.exists()
