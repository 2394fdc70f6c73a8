"""A damaged checkpoint is refused with a sentence that says what is wrong with which file."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from dragoman.model.architectures.transformer import Transformer
from dragoman.model.checkpoint import FILES, MANIFEST, Checkpoint, CheckpointError, load_checkpoint, save_checkpoint

CPU = torch.device("cpu")


def change_json(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def seal(folder: Path) -> None:
    """Write the manifest anew, as if the files had always been so."""
    described = {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in ((name, (folder / name).read_bytes()) for name in FILES)
    }
    change_json(folder / MANIFEST, lambda manifest: manifest.update(files=described))


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"no checkpoint folder .*absent: train one with `dragoman train`, or name"
    ):
        load_checkpoint(tmp_path / "absent", CPU)


def test_folder_without_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"is not a checkpoint: it has no manifest\.json"):
        load_checkpoint(tmp_path, CPU)


@pytest.mark.parametrize("name", FILES)
def test_missing_file_is_named(checkpoint_folder: Path, name: str) -> None:
    (checkpoint_folder / name).unlink()

    with pytest.raises(CheckpointError, match=f"has no {name}: copy the whole folder again"):
        load_checkpoint(checkpoint_folder, CPU)


@pytest.mark.parametrize("name", FILES)
def test_truncated_file_is_named(checkpoint_folder: Path, name: str) -> None:
    path = checkpoint_folder / name
    path.write_bytes(path.read_bytes()[:-1])

    with pytest.raises(CheckpointError, match=f"{name} is truncated or was changed: copy the whole checkpoint again"):
        load_checkpoint(checkpoint_folder, CPU)


def test_one_changed_bit_of_the_weights_is_seen(checkpoint_folder: Path) -> None:
    path = checkpoint_folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)

    with pytest.raises(CheckpointError, match=r"model\.safetensors is truncated or was changed"):
        load_checkpoint(checkpoint_folder, CPU)


def test_other_format_version_is_refused(checkpoint_folder: Path) -> None:
    change_json(checkpoint_folder / MANIFEST, lambda manifest: manifest.update(format_version=2))

    with pytest.raises(CheckpointError, match="has format version 2, this version of Dragoman reads 1"):
        load_checkpoint(checkpoint_folder, CPU)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"{", r"manifest\.json is not JSON"),
        (b"\xff\xfe", r"manifest\.json is not JSON"),
        (b"[]", r"manifest\.json does not hold a JSON object"),
        (b'{"format_version": 1, "files": []}', r"manifest\.json lists no files"),
    ],
)
def test_unusable_manifest_is_refused(checkpoint_folder: Path, content: bytes, sentence: str) -> None:
    (checkpoint_folder / MANIFEST).write_bytes(content)

    with pytest.raises(CheckpointError, match=sentence):
        load_checkpoint(checkpoint_folder, CPU)


@pytest.mark.parametrize(
    "change",
    [
        lambda config: config.pop("shape"),
        lambda config: config.pop("name"),
        lambda config: config.update(pairs=[["en"]]),
        lambda config: config["shape"].update(width=32),
        lambda config: config["shape"].update(encoder_layers=2),
        lambda config: config["shape"].update(wings=2),
    ],
    ids=["no shape", "no name", "half a pair", "other width", "more layers", "unknown key"],
)
def test_config_that_does_not_fit_is_refused(
    checkpoint_folder: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    change_json(checkpoint_folder / "config.json", change)
    seal(checkpoint_folder)

    with pytest.raises(CheckpointError, match="does not fit this version of Dragoman"):
        load_checkpoint(checkpoint_folder, CPU)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.model"])
def test_file_of_another_kind_is_refused(checkpoint_folder: Path, name: str) -> None:
    (checkpoint_folder / name).write_bytes(b"\x80\x04something else entirely")
    seal(checkpoint_folder)

    with pytest.raises(CheckpointError, match="does not fit this version of Dragoman"):
        load_checkpoint(checkpoint_folder, CPU)


def test_vocabulary_of_another_size_is_refused(
    tiny_checkpoint: Checkpoint, tiny_network: Callable[[int, int], Transformer], tmp_path: Path
) -> None:
    save_checkpoint(replace(tiny_checkpoint, network=tiny_network(350, 7)), tmp_path / "mixed")

    with pytest.raises(CheckpointError, match="mixes a vocabulary of 340 pieces with a network of 350: take both from"):
        load_checkpoint(tmp_path / "mixed", CPU)


def test_unreadable_file_is_refused(checkpoint_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *_arguments: object, **_named: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(CheckpointError, match=r"cannot be read: .*Permission denied"):
        load_checkpoint(checkpoint_folder, CPU)
