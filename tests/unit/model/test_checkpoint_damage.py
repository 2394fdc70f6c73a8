"""A damaged checkpoint is refused with a sentence that says what is wrong with which file."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from dragoman.model.checkpoint import CheckpointError, load_checkpoint
from dragoman.model.vocabularies.subwords import SubwordVocabulary

CPU = torch.device("cpu")
FILES = ["README.md", "config.json", "model.safetensors", "tokenizer.model"]
Change = Callable[[dict[str, Any]], object]


def change_json(path: Path, change: Change) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def seal(folder: Path, *more: str) -> None:
    """Write the manifest anew, as if the files, and `more`, had always been so."""
    described = {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in ((name, (folder / name).read_bytes()) for name in (*FILES, *more))
    }
    change_json(folder / "manifest.json", lambda manifest: manifest.update(files=described))


def change_config(folder: Path, change: Change) -> None:
    change_json(folder / "config.json", change)
    seal(folder)


def change_weights(folder: Path, change: Change) -> None:
    path = folder / "model.safetensors"
    weights = safetensors.torch.load(path.read_bytes())
    change(weights)
    path.write_bytes(safetensors.torch.save(weights))
    seal(folder)


def refusal(folder: Path) -> str:
    """The sentence with which a checkpoint is refused."""
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(folder, CPU)
    return str(caught.value)


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "absent") == (
        f"there is no checkpoint folder {tmp_path}/absent: train one with `dragoman train`, or name another"
    )


def test_folder_without_manifest_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path) == f"{tmp_path} is not a checkpoint: it has no manifest.json"


@pytest.mark.parametrize("name", FILES)
def test_missing_file_is_named(checkpoint_folder: Path, name: str) -> None:
    (checkpoint_folder / name).unlink()

    assert f"has no {name}: copy the whole folder again" in refusal(checkpoint_folder)


@pytest.mark.parametrize("name", FILES)
def test_truncated_file_is_named(checkpoint_folder: Path, name: str) -> None:
    path = checkpoint_folder / name
    path.write_bytes(path.read_bytes()[:-1])

    assert f"{name} is truncated or was changed: copy the whole checkpoint again" in refusal(checkpoint_folder)


def test_one_changed_bit_of_the_weights_is_seen(checkpoint_folder: Path) -> None:
    path = checkpoint_folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)

    assert "model.safetensors is truncated or was changed" in refusal(checkpoint_folder)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "notes.txt"])
def test_file_that_the_manifest_does_not_list_is_refused(checkpoint_folder: Path, name: str) -> None:
    (checkpoint_folder / name).write_bytes(b"\x80\x04")

    assert f"{name} is no part of the checkpoint: its manifest does not list it" in refusal(checkpoint_folder)


def test_hidden_file_is_overlooked(checkpoint_folder: Path) -> None:
    (checkpoint_folder / ".DS_Store").touch()

    assert load_checkpoint(checkpoint_folder, CPU).name == "tiny-en-fr"


def test_file_of_no_use_is_refused_though_the_manifest_lists_it(checkpoint_folder: Path) -> None:
    (checkpoint_folder / "pytorch_model.bin").write_bytes(b"\x80\x04")
    seal(checkpoint_folder, "pytorch_model.bin")

    assert "pytorch_model.bin is of no use to a checkpoint" in refusal(checkpoint_folder)


@pytest.mark.parametrize("name", FILES[:3])
def test_manifest_that_leaves_out_a_file_is_refused(checkpoint_folder: Path, name: str) -> None:
    (checkpoint_folder / name).rename(checkpoint_folder / f".{name}")
    change_json(checkpoint_folder / "manifest.json", lambda manifest: manifest["files"].pop(name))

    assert f"does not list {name}: copy the whole checkpoint again" in refusal(checkpoint_folder)


@pytest.mark.parametrize(
    "name", ["../weights", "/etc/passwd", "a/b", "a\\b", "..", ".hidden", "", "manifest.json", "two\nlines"]
)
def test_path_in_the_manifest_is_refused(checkpoint_folder: Path, name: str) -> None:
    facts = {"bytes": 0, "sha256": hashlib.sha256(b"").hexdigest()}
    change_json(checkpoint_folder / "manifest.json", lambda manifest: manifest["files"].update({name: facts}))

    assert f"manifest.json names a file {name!r}: only plain names of files beside it" in refusal(checkpoint_folder)


@pytest.mark.parametrize("name", ["../tokenizer.model", "/etc/passwd"])
def test_path_in_the_config_is_refused(checkpoint_folder: Path, name: str) -> None:
    change_config(checkpoint_folder, lambda config: config["vocabulary"].update(files=[name]))

    assert f"config.json names a file {name!r}: only plain names of files beside it" in refusal(checkpoint_folder)


@pytest.mark.parametrize("name", ["absent.model", "model.safetensors"])
def test_vocabulary_file_is_refused_when_it_is_no_file_of_the_vocabulary(checkpoint_folder: Path, name: str) -> None:
    change_config(checkpoint_folder, lambda config: config["vocabulary"].update(files=[name]))

    assert f"config.json takes {name} for a file of the vocabulary" in refusal(checkpoint_folder)


@pytest.mark.parametrize("file", ["manifest.json", "config.json"])
@pytest.mark.parametrize(
    ("version", "advice"),
    [
        (3, "it was written by a newer Dragoman; upgrade this one with `pip install --upgrade dragoman`"),
        (1, "train it again, or use the Dragoman that wrote it"),
        ("2", "train it again, or use the Dragoman that wrote it"),
        (None, "train it again, or use the Dragoman that wrote it"),
    ],
)
def test_other_format_version_is_refused(checkpoint_folder: Path, file: str, version: object, advice: str) -> None:
    change_json(checkpoint_folder / file, lambda content: content.update(format_version=version))
    seal(checkpoint_folder)

    sentence = refusal(checkpoint_folder)
    assert f"has format version {version}, this Dragoman reads 2: {advice}" in sentence


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"{", "manifest.json is not JSON"),
        (b"[" * 100_000, "manifest.json is not JSON"),
        (b"\xff\xfe", "manifest.json is not JSON"),
        (b"[]", "manifest.json does not hold a JSON object"),
        (b'{"format_version": 2}', "manifest.json lists no files"),
        (b'{"format_version": 2, "files": []}', "manifest.json lists no files"),
        (b'{"format_version": 2, "files": {"a": 1}}', "manifest.json does not give size and SHA-256 of a"),
        (b'{"format_version": 2, "files": {"a": {"bytes": 1}}}', "manifest.json does not give size and SHA-256 of a"),
        (
            b'{"format_version": 2, "files": {"a": {"bytes": 1, "sha256": "no"}}}',
            "manifest.json does not give size and SHA-256 of a",
        ),
    ],
)
def test_unusable_manifest_is_refused(checkpoint_folder: Path, content: bytes, sentence: str) -> None:
    (checkpoint_folder / "manifest.json").write_bytes(content)

    assert sentence in refusal(checkpoint_folder)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda config: config.pop("shape"), "shape: Field required"),
        (lambda config: config.pop("name"), "name: Field required"),
        (lambda config: config.update(wings=2), "wings: Extra inputs are not permitted"),
        (lambda config: config.update(pairs=[["en"]]), "a pair has two languages"),
        (lambda config: config.update(storage="int4"), "storage: Input should be 'float16', 'float32' or 'int8'"),
        (lambda config: config["vocabulary"].update(files=[]), "vocabulary.files: List should have at least 1 item"),
        (lambda config: config.update(architecture="abacus"), "there is no architecture 'abacus'"),
        (lambda config: config["vocabulary"].update(kind="runes"), "there is no vocabulary kind 'runes'"),
        (lambda config: config["vocabulary"].update(kind="characters"), "characters needs a file characters.json"),
        (lambda config: config["shape"].update(wings=2), "not a shape of the architecture transformer: "),
        (lambda config: config["shape"].update(heads=3), "not a shape of the architecture transformer: "),
    ],
)
def test_config_that_does_not_fit_is_refused(checkpoint_folder: Path, change: Change, fault: str) -> None:
    change_config(checkpoint_folder, change)

    sentence = refusal(checkpoint_folder)
    assert "does not fit this version of Dragoman: " in sentence
    assert fault in sentence


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda shape: shape.update(width=32), "decoder.0.attention.key_value.bias is float 32, not float 64"),
        (lambda shape: shape.update(encoder_layers=2), "encoder.1.attention.key_value.bias is missing"),
    ],
)
def test_weights_of_another_shape_are_named(checkpoint_folder: Path, change: Change, fault: str) -> None:
    change_config(checkpoint_folder, lambda config: change(config["shape"]))

    sentence = refusal(checkpoint_folder)
    assert "model.safetensors does not fit the network that config.json describes: " in sentence
    assert fault in sentence


def test_only_some_of_many_unfit_weights_are_named(checkpoint_folder: Path) -> None:
    change_config(checkpoint_folder, lambda config: config["shape"].update(encoder_layers=2))

    assert refusal(checkpoint_folder).endswith("; and 11 more")


def test_weights_that_the_network_does_not_have_are_named(checkpoint_folder: Path) -> None:
    change_weights(checkpoint_folder, lambda weights: weights.update({"wings.weight": torch.zeros(2)}))

    assert "config.json describes: wings.weight is not of this network" in refusal(checkpoint_folder)


def test_weights_that_are_no_floats_are_refused(checkpoint_folder: Path) -> None:
    change_weights(checkpoint_folder, lambda weights: weights.update({"encoder_norm.bias": torch.zeros(16).int()}))

    assert "encoder_norm.bias is int 16, not float 16" in refusal(checkpoint_folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_refused(checkpoint_folder: Path, value: float) -> None:
    change_weights(checkpoint_folder, lambda weights: weights["encoder_norm.bias"].__setitem__(3, value))

    assert "the weights encoder_norm.bias are not finite in " in refusal(checkpoint_folder)


def test_file_of_weights_that_is_something_else_is_refused(checkpoint_folder: Path) -> None:
    (checkpoint_folder / "model.safetensors").write_bytes(b"\x80\x04something else entirely")
    seal(checkpoint_folder)

    assert "model.safetensors is not a file of weights: " in refusal(checkpoint_folder)


def test_vocabulary_that_is_something_else_is_refused(checkpoint_folder: Path) -> None:
    (checkpoint_folder / "tokenizer.model").write_bytes(b"\x80\x04something else entirely")
    seal(checkpoint_folder)

    assert "does not fit this version of Dragoman: not a SentencePiece model" in refusal(checkpoint_folder)


def test_vocabulary_of_another_size_is_refused(checkpoint_folder: Path, sentences: tuple[str, ...]) -> None:
    (checkpoint_folder / "tokenizer.model").write_bytes(SubwordVocabulary.train(sentences, 330).serialized)
    seal(checkpoint_folder)

    assert "mixes a vocabulary of 330 pieces with a network of 340: take both from" in refusal(checkpoint_folder)


def test_card_that_is_not_utf8_is_refused(checkpoint_folder: Path) -> None:
    (checkpoint_folder / "README.md").write_bytes(b"d\xe9j\xe0 vu")
    seal(checkpoint_folder)

    assert "README.md is not UTF-8" in refusal(checkpoint_folder)


def test_unreadable_file_is_refused(checkpoint_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *_arguments: object, **_named: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)

    sentence = refusal(checkpoint_folder)
    assert "cannot be read: " in sentence
    assert "Permission denied" in sentence
