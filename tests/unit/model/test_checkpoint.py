"""Saving and loading a checkpoint folder."""

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
from dragoman.model.architectures.transformer import Transformer
from dragoman.model.checkpoint import FILES, MANIFEST, Checkpoint, CheckpointError, load_checkpoint, save_checkpoint
from dragoman.model.translator import Translator

CPU = torch.device("cpu")
TEXTS = ["The baker reads.", "A long river behind the old mill.", ""]


@pytest.fixture
def other_checkpoint(tiny_checkpoint: Checkpoint, tiny_network: Callable[[int, int], Transformer]) -> Checkpoint:
    """Same vocabulary, other weights."""
    return replace(tiny_checkpoint, network=tiny_network(len(tiny_checkpoint.vocabulary), 8))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def fail_with(error: BaseException) -> Callable[..., bytes]:
    def fail(*_arguments: object) -> bytes:
        raise error

    return fail


def test_loaded_checkpoint_says_what_was_saved(checkpoint_folder: Path, tiny_checkpoint: Checkpoint) -> None:
    loaded = load_checkpoint(checkpoint_folder, CPU)

    assert (loaded.name, loaded.pairs, loaded.card) == (
        tiny_checkpoint.name,
        tiny_checkpoint.pairs,
        tiny_checkpoint.card,
    )
    assert loaded.network.config == tiny_checkpoint.network.config


def test_loaded_weights_are_the_saved_ones_in_16_bits(checkpoint_folder: Path, tiny_checkpoint: Checkpoint) -> None:
    saved, loaded = tiny_checkpoint.network.state_dict(), load_checkpoint(checkpoint_folder, CPU).network.state_dict()

    assert saved.keys() == loaded.keys()
    assert all(torch.equal(saved[name].half().float(), loaded[name]) for name in saved)


def test_translations_are_equal_after_saving_once_more(checkpoint_folder: Path, tmp_path: Path) -> None:
    first = load_checkpoint(checkpoint_folder, CPU)
    save_checkpoint(first, tmp_path / "again")

    again = load_checkpoint(tmp_path / "again", CPU)
    assert Translator(again, CPU).translate(TEXTS) == Translator(first, CPU).translate(TEXTS)


def test_version_is_name_and_content_hash(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    sha256 = save_checkpoint(tiny_checkpoint, tmp_path / "tiny")

    assert load_checkpoint(tmp_path / "tiny", CPU).version == f"tiny-en-fr@{sha256[:12]}"


def test_version_is_equal_when_the_content_is(checkpoint_folder: Path, tmp_path: Path) -> None:
    loaded = load_checkpoint(checkpoint_folder, CPU)
    save_checkpoint(replace(loaded, card="# A better card\n"), tmp_path / "moved")

    assert load_checkpoint(tmp_path / "moved", CPU).version == loaded.version


def test_version_differs_when_the_weights_do(
    tiny_checkpoint: Checkpoint, other_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    assert save_checkpoint(tiny_checkpoint, tmp_path / "a") != save_checkpoint(other_checkpoint, tmp_path / "b")


def test_folder_holds_the_five_files_and_nothing_else(checkpoint_folder: Path) -> None:
    assert sorted(contents(checkpoint_folder)) == sorted([*FILES, MANIFEST])
    assert list(checkpoint_folder.parent.iterdir()) == [checkpoint_folder]


def test_files_are_readable_by_the_group_when_the_mask_allows_it(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    before = os.umask(0o022)
    save_checkpoint(tiny_checkpoint, tmp_path / "tiny")
    os.umask(before)

    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "tiny").iterdir()} == {0o644}


def test_parent_folders_are_made(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    save_checkpoint(tiny_checkpoint, tmp_path / "new" / "deep" / "tiny")

    assert load_checkpoint(tmp_path / "new" / "deep" / "tiny", CPU).name == "tiny-en-fr"


def test_older_checkpoint_is_replaced(checkpoint_folder: Path, other_checkpoint: Checkpoint) -> None:
    sha256 = save_checkpoint(other_checkpoint, checkpoint_folder)

    assert load_checkpoint(checkpoint_folder, CPU).sha256 == sha256
    assert list(checkpoint_folder.parent.iterdir()) == [checkpoint_folder]


def test_older_checkpoint_is_replaced_behind_a_link(
    checkpoint_folder: Path, other_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    link = tmp_path / "current"
    link.symlink_to(checkpoint_folder)

    sha256 = save_checkpoint(other_checkpoint, link)

    assert load_checkpoint(checkpoint_folder, CPU).sha256 == sha256
    assert link.is_symlink()


def test_folder_of_something_else_is_not_replaced(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("Keep me.")

    with pytest.raises(CheckpointError, match="letters exists and is not a checkpoint: remove it, or name another"):
        save_checkpoint(tiny_checkpoint, tmp_path / "letters")

    assert contents(tmp_path / "letters") == {"dear.txt": b"Keep me."}


def test_file_is_not_replaced(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / "letter").write_text("Keep me.")

    with pytest.raises(CheckpointError, match="letter exists and is not a checkpoint"):
        save_checkpoint(tiny_checkpoint, tmp_path / "letter")


def test_older_checkpoint_stays_when_the_disk_is_full(
    checkpoint_folder: Path, other_checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(checkpoint_folder)
    monkeypatch.setattr(safetensors.torch, "save", fail_with(OSError(errno.ENOSPC, "No space left on device")))

    with pytest.raises(CheckpointError, match=r"cannot be written, what was there is untouched: .*No space left"):
        save_checkpoint(other_checkpoint, checkpoint_folder)

    assert contents(checkpoint_folder) == before
    assert list(checkpoint_folder.parent.iterdir()) == [checkpoint_folder]


def test_older_checkpoint_stays_when_saving_is_interrupted(
    checkpoint_folder: Path, other_checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(checkpoint_folder)
    monkeypatch.setattr(safetensors.torch, "save", fail_with(KeyboardInterrupt()))

    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(other_checkpoint, checkpoint_folder)

    assert contents(checkpoint_folder) == before
    assert list(checkpoint_folder.parent.iterdir()) == [checkpoint_folder]


def test_older_checkpoint_comes_back_when_the_swap_fails_half_way(
    checkpoint_folder: Path, other_checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, rename = contents(checkpoint_folder), Path.rename

    def fail_for_the_new_one(path: Path, target: Path) -> Path:
        if target == checkpoint_folder and path.name != f".{checkpoint_folder.name}-replaced":
            raise OSError(errno.EIO, "Input/output error")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail_for_the_new_one)
    with pytest.raises(CheckpointError, match=r"what was there is untouched: .*Input/output error"):
        save_checkpoint(other_checkpoint, checkpoint_folder)

    assert contents(checkpoint_folder) == before
    assert list(checkpoint_folder.parent.iterdir()) == [checkpoint_folder]


@pytest.mark.parametrize("value", [float("nan"), 1e6])
def test_weights_are_refused_when_16_bits_cannot_hold_them(
    tiny_checkpoint: Checkpoint, tiny_network: Callable[[int, int], Transformer], tmp_path: Path, value: float
) -> None:
    network = tiny_network(len(tiny_checkpoint.vocabulary), 7)
    network.decoder_norm.weight[3] = value

    with pytest.raises(CheckpointError, match=r"the weights decoder_norm\.weight are not finite as 16-bit floats"):
        save_checkpoint(replace(tiny_checkpoint, network=network), tmp_path / "broken")

    assert list(tmp_path.iterdir()) == []
