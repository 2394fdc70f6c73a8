"""A checkpoint: one folder with weights, config, vocabulary and model card, nothing else. Never pickle.

    config.json        format version, name, architecture and shape, language pairs, storage, kind of vocabulary
    model.safetensors  weights as 16-bit floats, 32-bit floats or 8-bit integers
    (vocabulary)       one file or several, by kind: tokenizer.model (SentencePiece), characters.json, ...
    README.md          model card: data, licence, attribution, command, measured quality
    manifest.json      size and SHA-256 of each of the others

and, if it has a shortlist, shortlist.safetensors with the likeliest target pieces of each source piece.

Knows the folder and what belongs together; knows nothing of text or decoding.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..errors import ConfigurationError
from .architectures.catalog import describe
from .architectures.network import Network
from .checkpoint_config import (
    CONFIG,
    FIXED_FILES,
    SHORTLIST,
    WEIGHTS,
    CheckpointConfig,
    Storage,
    VocabularyConfig,
    read_config,
)
from .manifest import (
    CARD,
    FORMAT_VERSION,
    MANIFEST,
    CheckpointError,
    check_file_name,
    read_manifest,
    replaced_name,
    verify_files,
    write_manifest,
)
from .replacement import replacing
from .shortlist import Shortlist
from .shortlist_file import read_shortlist, write_shortlist
from .source_side import version_of
from .threads import one_thread
from .vocabularies.catalog import VOCABULARIES, load_vocabulary
from .vocabularies.vocabulary import Vocabulary
from .weightless import build_weightless
from .weights import read_float_weights, write_weights

__all__ = ["Checkpoint", "CheckpointError", "check_replaceable", "load_checkpoint", "save_checkpoint"]
# An error names so many weights; the others are of the same sort.
NAMED_WEIGHTS = 3


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A network with its vocabulary, its name, the language pairs it translates and, if it has one, a shortlist."""

    name: str
    pairs: tuple[tuple[str, str], ...]
    network: Network
    vocabulary: Vocabulary
    card: str
    sha256: str = ""
    shortlist: Shortlist | None = None

    @property
    def version(self) -> str:
        """Name and content hash: what the history calls the model version."""
        return version_of(self.name, self.sha256)

    def require_shortlist(self) -> Shortlist:
        """The shortlist; raises `ConfigurationError` naming the command that learns one if it has none."""
        if self.shortlist is None:
            raise ConfigurationError(
                f"the model {self.version} has no shortlist: learn one with "
                "`dragoman models shortlist CHECKPOINT CORPUS`, or translate without"
            )
        return self.shortlist


def save_checkpoint(checkpoint: Checkpoint, folder: Path, storage: Storage = "float16") -> str:
    """Write `folder` as a whole or not at all, replacing an older checkpoint; returns the content hash.

    Raises `CheckpointError` when the disk refuses, when a weight is not finite as `storage`, or when network,
    vocabulary and shortlist do not fit each other; the older checkpoint is then untouched.
    """
    folder = folder.resolve()
    check_replaceable(folder)
    _check_vocabulary(checkpoint.vocabulary, checkpoint.network, f"the checkpoint {checkpoint.name}")
    _check_shortlist(checkpoint)
    try:
        with replacing(folder, replaced_name(folder)) as fresh:
            _write_files(checkpoint, fresh, storage)
            return write_manifest(fresh, _file_names(checkpoint)).sha256
    except OSError as error:
        raise CheckpointError(
            f"the checkpoint {folder} cannot be written, what was there is untouched: {error}"
        ) from error


def check_replaceable(folder: Path) -> None:
    """Raise `CheckpointError` if saving to `folder` would remove anything but an older checkpoint."""
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not (folder / MANIFEST).is_file()):
        raise CheckpointError(f"{folder} exists and is not a checkpoint: remove it, or name another folder")


def load_checkpoint(folder: Path, device: torch.device) -> Checkpoint:
    """Read and verify a checkpoint, its weights as 32-bit floats that need no gradient.

    Raises `CheckpointError` with what is wrong with which file.
    """
    try:
        manifest = read_manifest(folder)
        verify_files(folder, manifest)
        config = read_config(folder, manifest)
        card = (folder / CARD).read_text(encoding="utf-8")
        with one_thread():
            network, vocabulary = _build(folder, config)
            network = _with_weights(network, read_float_weights(folder / WEIGHTS, device), folder / WEIGHTS)
        shortlist = _read_shortlist(folder, vocabulary) if SHORTLIST in manifest.files else None
    except OSError as error:
        raise CheckpointError(f"the checkpoint {folder} cannot be read: {error}") from error
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{folder / CARD} is not UTF-8: convert it, and save the checkpoint again") from error
    return Checkpoint(config.name, config.language_pairs, network, vocabulary, card, manifest.sha256, shortlist)


def _build(folder: Path, config: CheckpointConfig) -> tuple[Network, Vocabulary]:
    """The network without its weights, and its vocabulary."""
    try:
        vocabulary = load_vocabulary(
            config.vocabulary.kind, {name: (folder / name).read_bytes() for name in config.vocabulary.files}
        )
        network = build_weightless(config.architecture, config.shape)
    except ConfigurationError as error:
        raise CheckpointError(f"the checkpoint {folder} does not fit this version of Dragoman: {error}") from error
    _check_vocabulary(vocabulary, network, f"the checkpoint {folder}")
    return network, vocabulary


def _check_vocabulary(vocabulary: Vocabulary, network: Network, subject: str) -> None:
    target_size = network.config.vocabulary_size
    # An architecture whose source has pieces of its own says how many.
    source_size = getattr(network.config, "source_vocabulary_size", None) or target_size
    for has, wants in ((len(vocabulary), target_size), (vocabulary.source_size, source_size)):
        if has != wants:
            raise CheckpointError(
                f"{subject} mixes a vocabulary of {has} pieces with a network of {wants}: "
                "take both from one training run"
            )


def _check_shortlist(checkpoint: Checkpoint) -> None:
    if checkpoint.shortlist is None:
        return
    try:
        checkpoint.shortlist.check_fit(checkpoint.vocabulary.source_size, len(checkpoint.vocabulary))
    except ConfigurationError as error:
        raise CheckpointError(f"the shortlist of {checkpoint.name} is for another vocabulary: {error}") from error


def _read_shortlist(folder: Path, vocabulary: Vocabulary) -> Shortlist:
    return read_shortlist(folder / SHORTLIST, vocabulary.source_size, len(vocabulary))


def _with_weights(network: Network, weights: Mapping[str, Tensor], path: Path) -> Network:
    _check_fit(network.state_dict(), weights, path)
    network.load_state_dict(weights, assign=True)
    # The position codes are computed, not stored, and not on the device of the weights yet.
    network.restore_buffers()
    return network.requires_grad_(requires_grad=False).eval()


def _check_fit(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor], path: Path) -> None:
    faults = [f"{name} is missing" for name in wanted if name not in found]
    faults += [f"{name} is not of this network" for name in found if name not in wanted]
    for name in wanted.keys() & found.keys():
        if _form(wanted[name]) != _form(found[name]):
            faults.append(f"{name} is {_form(found[name])}, not {_form(wanted[name])}")
    if faults:
        named = "; ".join(sorted(faults)[:NAMED_WEIGHTS])
        more = f"; and {len(faults) - NAMED_WEIGHTS} more" if len(faults) > NAMED_WEIGHTS else ""
        raise CheckpointError(f"{path} does not fit the network that {CONFIG} describes: {named}{more}")


def _form(tensor: Tensor) -> str:
    return f"{'float' if tensor.is_floating_point() else 'int'} {'x'.join(map(str, tensor.shape))}"


def _write_files(checkpoint: Checkpoint, folder: Path, storage: Storage) -> None:
    config = _describe(checkpoint, storage)
    (folder / CONFIG).write_text(json.dumps(config.model_dump(), indent=2, ensure_ascii=False) + "\n", "utf-8")
    (folder / CARD).write_text(checkpoint.card, encoding="utf-8")
    for name, content in checkpoint.vocabulary.files().items():
        (folder / name).write_bytes(content)
    write_weights(folder / WEIGHTS, checkpoint.network.state_dict(), storage)
    if checkpoint.shortlist is not None:
        write_shortlist(folder / SHORTLIST, checkpoint.shortlist)


def _file_names(checkpoint: Checkpoint) -> list[str]:
    optional = [] if checkpoint.shortlist is None else [SHORTLIST]
    return [*FIXED_FILES, *checkpoint.vocabulary.files(), *optional]


def _describe(checkpoint: Checkpoint, storage: Storage) -> CheckpointConfig:
    vocabulary = checkpoint.vocabulary
    if VOCABULARIES.get(vocabulary.kind) is not type(vocabulary):
        raise CheckpointError(f"{type(vocabulary).__name__} is not in the catalog of vocabularies: it cannot be saved")
    names = list(vocabulary.files())
    for name in names:
        check_file_name(name, Path(vocabulary.kind))
    architecture, shape = describe(checkpoint.network)
    return CheckpointConfig(
        format_version=FORMAT_VERSION,
        name=checkpoint.name,
        architecture=architecture,
        shape=shape,
        pairs=[list(pair) for pair in checkpoint.pairs],
        storage=storage,
        vocabulary=VocabularyConfig(kind=vocabulary.kind, files=names),
    )
