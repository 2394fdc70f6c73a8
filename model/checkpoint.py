"""A checkpoint: one folder with weights, config, vocabulary and model card, nothing else. Never pickle.

    config.json       format version, architecture, shape, language pairs
    model.safetensors weights, stored as 16-bit floats
    tokenizer.model   SentencePiece
    README.md         model card: data, licence, attribution, command, measured quality
    manifest.json     size and SHA-256 of each of the above

Knows files and the network's shape; knows nothing of text or decoding.
"""

import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from ..errors import ConfigurationError
from .architectures.catalog import build, describe
from .architectures.network import Network
from .vocabularies.subwords import SubwordVocabulary
from .vocabularies.vocabulary import Vocabulary

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
FILES = ("config.json", "model.safetensors", "tokenizer.model", "README.md")


class CheckpointError(ConfigurationError):
    """A checkpoint folder is missing, damaged or of another format version, or cannot be written."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A network with its vocabulary, its name and the language pairs it translates."""

    name: str
    pairs: tuple[tuple[str, str], ...]
    network: Network
    vocabulary: Vocabulary
    card: str
    sha256: str = ""

    @property
    def version(self) -> str:
        """Name and content hash: what the history calls the model version."""
        return f"{self.name}@{self.sha256[:12]}"


def save_checkpoint(checkpoint: Checkpoint, folder: Path) -> str:
    """Write `folder` as a whole or not at all, replacing an older checkpoint; returns the content hash.

    Raises `CheckpointError` when the disk refuses, or when a weight is not finite; the older one is then untouched.
    """
    folder = folder.resolve()
    check_replaceable(folder)
    try:
        return _save(checkpoint, folder)
    except OSError as error:
        raise CheckpointError(
            f"the checkpoint {folder} cannot be written, what was there is untouched: {error}"
        ) from error


def check_replaceable(folder: Path) -> None:
    """Raise `CheckpointError` if saving to `folder` would remove anything but an older checkpoint."""
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not (folder / MANIFEST).is_file()):
        raise CheckpointError(f"{folder} exists and is not a checkpoint: remove it, or name another folder")


def load_checkpoint(folder: Path, device: torch.device) -> Checkpoint:
    """Read and verify a checkpoint; raises `CheckpointError` with what is wrong with which file."""
    try:
        manifest = _verified_manifest(folder)
        return _read(folder, device, _content_hash(manifest))
    except OSError as error:
        raise CheckpointError(f"the checkpoint {folder} cannot be read: {error}") from error


def _read(folder: Path, device: torch.device, sha256: str) -> Checkpoint:
    config = _read_json(folder / "config.json")
    try:
        with torch.device("meta"):
            network = build(config["architecture"], config["shape"])
        vocabulary = SubwordVocabulary((folder / "tokenizer.model").read_bytes())
        weights = safetensors.torch.load_file(folder / "model.safetensors", device=str(device))
        network = _with_weights(network, {name: tensor.float() for name, tensor in weights.items()})
        pairs = tuple((source, target) for source, target in config["pairs"])
        name = config["name"]
        card = (folder / "README.md").read_text(encoding="utf-8")
    except (ConfigurationError, KeyError, TypeError, ValueError, RuntimeError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"the checkpoint {folder} does not fit this version of Dragoman: {error}") from error
    if len(vocabulary) != network.config.vocabulary_size:
        raise CheckpointError(
            f"the checkpoint {folder} mixes a vocabulary of {len(vocabulary)} pieces with a network of "
            f"{network.config.vocabulary_size}: take both from one training run"
        )
    return Checkpoint(name, pairs, network.eval(), vocabulary, card, sha256)


def _with_weights(network: Network, weights: dict[str, torch.Tensor]) -> Network:
    network.load_state_dict(weights, assign=True)
    # The position codes are computed, not stored, so the meta device left them empty.
    network.restore_buffers()
    return network.requires_grad_(requires_grad=False)


def _save(checkpoint: Checkpoint, folder: Path) -> str:
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        _write_files(checkpoint, fresh)
        manifest = {name: _describe(fresh / name) for name in FILES}
        (fresh / MANIFEST).write_text(
            json.dumps({"format_version": FORMAT_VERSION, "files": manifest}, indent=2) + "\n"
        )
        fresh.chmod(0o755)
        _swap(fresh, folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return _content_hash(manifest)


def _write_files(checkpoint: Checkpoint, folder: Path) -> None:
    architecture, shape = describe(checkpoint.network)
    config = {
        "format_version": FORMAT_VERSION,
        "name": checkpoint.name,
        "architecture": architecture,
        "pairs": [list(pair) for pair in checkpoint.pairs],
        "shape": shape,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    (folder / "README.md").write_text(checkpoint.card, encoding="utf-8")
    for name, content in checkpoint.vocabulary.files().items():
        (folder / name).write_bytes(content)
    # Not `save_file`, whose files only their owner may read.
    (folder / "model.safetensors").write_bytes(safetensors.torch.save(_stored_weights(checkpoint.network)))


def _stored_weights(network: Network) -> dict[str, torch.Tensor]:
    weights = {name: tensor.half().cpu().contiguous() for name, tensor in network.state_dict().items()}
    broken = [name for name, tensor in weights.items() if not tensor.isfinite().all()]
    if broken:
        raise CheckpointError(f"the weights {', '.join(broken)} are not finite as 16-bit floats: the training diverged")
    return weights


def _swap(fresh: Path, folder: Path) -> None:
    """Put `fresh` in the place of `folder`, or leave that as it was.

    A crash between the two renames leaves the old checkpoint beside `folder`, as `.NAME-replaced`.
    """
    for name in (*FILES, MANIFEST):
        with (fresh / name).open("rb") as file:
            os.fsync(file.fileno())
    if not folder.exists():
        fresh.rename(folder)
        return
    old = folder.with_name(f".{folder.name}-replaced")
    shutil.rmtree(old, ignore_errors=True)
    try:
        folder.rename(old)
        fresh.rename(folder)
    finally:
        if not folder.exists():
            old.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _verified_manifest(folder: Path) -> dict[str, dict[str, object]]:
    if not folder.is_dir():
        raise CheckpointError(
            f"there is no checkpoint folder {folder}: train one with `dragoman train`, or name another"
        )
    manifest = _read_json(folder / MANIFEST)
    if manifest.get("format_version") != FORMAT_VERSION:
        raise CheckpointError(
            f"the checkpoint {folder} has format version {manifest.get('format_version')}, "
            f"this version of Dragoman reads {FORMAT_VERSION}"
        )
    files = manifest.get("files")
    if not isinstance(files, dict):
        raise CheckpointError(f"{folder / MANIFEST} lists no files: copy the whole checkpoint again")
    for name in FILES:
        if not (folder / name).is_file():
            raise CheckpointError(f"the checkpoint {folder} has no {name}: copy the whole folder again")
        if _describe(folder / name) != files.get(name):
            raise CheckpointError(f"{folder / name} is truncated or was changed: copy the whole checkpoint again")
    return files


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{path.parent} is not a checkpoint: it has no {path.name}") from error
    except ValueError as error:
        raise CheckpointError(f"{path} is not JSON: copy the whole checkpoint again") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} does not hold a JSON object: copy the whole checkpoint again")
    return content


def _describe(path: Path) -> dict[str, object]:
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _content_hash(manifest: dict[str, dict[str, object]]) -> str:
    """Hash of what decides the translations: everything but the card."""
    parts = [f"{name} {manifest[name]['sha256']}" for name in FILES if name != "README.md"]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
