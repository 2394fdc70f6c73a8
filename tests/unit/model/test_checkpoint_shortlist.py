"""A checkpoint with a shortlist: saved, loaded, and refused when it is damaged."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch
from dragoman.errors import ConfigurationError
from dragoman.model.checkpoint import Checkpoint, CheckpointError, load_checkpoint, save_checkpoint
from dragoman.model.shortlist import Shortlist
from dragoman.model.summary import summarise
from dragoman.model.vocabularies.vocabulary import END

CPU = torch.device("cpu")
NAME = "shortlist.safetensors"
Arrays = dict[str, Any]


def each_its_successor(size: int) -> Shortlist:
    """Every source piece from 4 on becomes the next one."""
    starts = np.clip(np.arange(size + 1) - 4, 0, size - 5).astype(np.int32)
    return Shortlist(starts, np.arange(5, size, dtype=np.int32), np.array([END, 7], np.int32))


@pytest.fixture
def shortlisted(tiny_checkpoint: Checkpoint) -> Checkpoint:
    return replace(tiny_checkpoint, shortlist=each_its_successor(len(tiny_checkpoint.vocabulary)))


@pytest.fixture
def folder(shortlisted: Checkpoint, tmp_path: Path) -> Path:
    save_checkpoint(shortlisted, tmp_path / "short")
    return tmp_path / "short"


def rewrite(folder: Path, content: bytes) -> None:
    """Put another shortlist in, as if it had always been there."""
    (folder / NAME).write_bytes(content)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][NAME] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def change(folder: Path, how: Callable[[Arrays], object]) -> None:
    arrays = safetensors.numpy.load((folder / NAME).read_bytes())
    how(arrays)
    rewrite(folder, safetensors.numpy.save(arrays))


def test_shortlist_comes_back(folder: Path) -> None:
    loaded = load_checkpoint(folder, CPU).require_shortlist()

    assert loaded.candidates([10, 20, 7]).tolist() == [END, 7, 8, 11, 21]


def test_checkpoint_without_a_shortlist_has_none(checkpoint_folder: Path) -> None:
    assert load_checkpoint(checkpoint_folder, CPU).shortlist is None
    assert not (checkpoint_folder / NAME).exists()


def test_command_is_named_when_a_shortlist_is_required_and_not_there(checkpoint_folder: Path) -> None:
    loaded = load_checkpoint(checkpoint_folder, CPU)

    with pytest.raises(ConfigurationError, match="has no shortlist: learn one with `dragoman models shortlist "):
        loaded.require_shortlist()


def test_version_tells_of_the_shortlist(shortlisted: Checkpoint, tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    assert save_checkpoint(shortlisted, tmp_path / "a") != save_checkpoint(tiny_checkpoint, tmp_path / "b")


def test_checkpoint_is_the_same_after_saving_once_more(folder: Path, tmp_path: Path) -> None:
    loaded = load_checkpoint(folder, CPU)

    assert save_checkpoint(loaded, tmp_path / "again") == loaded.sha256


def test_shortlist_goes_when_a_checkpoint_without_one_replaces_it(folder: Path, tiny_checkpoint: Checkpoint) -> None:
    save_checkpoint(tiny_checkpoint, folder)

    assert load_checkpoint(folder, CPU).shortlist is None


def test_summary_counts_the_shortlist(folder: Path, tiny_checkpoint: Checkpoint) -> None:
    size = len(tiny_checkpoint.vocabulary)
    found = summarise(folder).shortlist

    assert found is not None
    assert (found.source_pieces, found.likeliest, found.frequent) == (size, size - 5, 2)


def test_changed_shortlist_is_seen(folder: Path) -> None:
    (folder / NAME).write_bytes((folder / NAME).read_bytes()[:-1] + b"\1")

    with pytest.raises(CheckpointError, match=rf"{NAME} is truncated or was changed"):
        load_checkpoint(folder, CPU)


def test_shortlist_of_another_vocabulary_is_not_saved(shortlisted: Checkpoint, tmp_path: Path) -> None:
    other = replace(shortlisted, shortlist=each_its_successor(350))

    with pytest.raises(CheckpointError, match="tiny-en-fr is for another vocabulary: it is for 350 source pieces"):
        save_checkpoint(other, tmp_path / "mixed")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("how", "fault"),
    [
        (lambda arrays: arrays["pieces"].__setitem__(3, 340), "it names the target piece 340, the vocabulary has 340"),
        (lambda arrays: arrays.update(starts=arrays["starts"][1:]), "it is for 339 source pieces, not 340"),
        (lambda arrays: arrays.update(pieces=arrays["pieces"][1:]), "its rows do not part 334 pieces"),
        (lambda arrays: arrays.update(pieces=arrays["pieces"].astype("f4")), "must be rows of 32-bit integers"),
        (lambda arrays: arrays.update(more=arrays["starts"]), "it holds frequent, more, pieces, starts, not starts"),
        (lambda arrays: arrays.pop("frequent"), "it holds pieces, starts, not starts, pieces, frequent"),
    ],
)
def test_shortlist_that_does_not_fit_is_refused(folder: Path, how: Callable[[Arrays], object], fault: str) -> None:
    change(folder, how)

    with pytest.raises(CheckpointError, match=rf"{NAME} is no shortlist of this checkpoint: .*{fault}.*learn it again"):
        load_checkpoint(folder, CPU)


def test_shortlist_that_is_something_else_is_refused(folder: Path) -> None:
    rewrite(folder, b"\x80\x04something else entirely")

    with pytest.raises(CheckpointError, match=rf"{NAME} is not a shortlist: "):
        load_checkpoint(folder, CPU)


def test_shortlist_is_no_file_of_the_vocabulary(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["vocabulary"]["files"] = [NAME]
    content = json.dumps(config).encode()
    (folder / "config.json").write_bytes(content)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["config.json"] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (folder / "manifest.json").write_text(json.dumps(manifest))

    with pytest.raises(CheckpointError, match=rf"config\.json takes {NAME} for a file of the vocabulary"):
        load_checkpoint(folder, CPU)
