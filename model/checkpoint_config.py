"""`config.json` of a checkpoint: what network and what vocabulary its other files make. Knows no tensors."""

from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .manifest import CARD, CheckpointError, Manifest, check_file_name, check_format, read_json

# How weights are stored; `weights` says what that means.
Storage = Literal["float16", "float32", "int8"]
STORAGES: tuple[Storage, ...] = get_args(Storage)
CONFIG = "config.json"
WEIGHTS = "model.safetensors"
# What every checkpoint has; the files of its vocabulary come to these.
FIXED_FILES = (CONFIG, WEIGHTS, CARD)
# What a checkpoint may have. One with it is refused by a Dragoman that does not know the file, never read wrongly.
SHORTLIST = "shortlist.safetensors"


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class VocabularyConfig(_Section):
    """The kind of the vocabulary (see `vocabularies.catalog`) and the names of its files."""

    kind: str
    files: list[str] = Field(min_length=1)


class CheckpointConfig(_Section):
    """The architecture (see `architectures.catalog`) with its shape, and how the weights are stored."""

    format_version: int
    name: str = Field(min_length=1)
    architecture: str
    shape: dict[str, Any]
    pairs: list[list[str]]
    storage: Storage
    vocabulary: VocabularyConfig

    @property
    def language_pairs(self) -> tuple[tuple[str, str], ...]:
        """(source, target) of every language pair."""
        return tuple((source, target) for source, target in self.pairs)


def read_config(folder: Path, manifest: Manifest) -> CheckpointConfig:
    """The config of a checkpoint, checked against the files that its manifest lists; raises `CheckpointError`."""
    for name in FIXED_FILES:
        if name not in manifest.files:
            raise CheckpointError(f"the manifest of {folder} does not list {name}: copy the whole checkpoint again")
    content = read_json(folder / CONFIG)
    check_format(folder, content.get("format_version"))
    try:
        config = CheckpointConfig.model_validate(content)
    except ValidationError as error:
        raise CheckpointError(f"{folder / CONFIG} does not fit this version of Dragoman: {_faults(error)}") from None
    if any(len(pair) != 2 for pair in config.pairs):
        raise CheckpointError(f"{folder / CONFIG} does not fit this version of Dragoman: a pair has two languages")
    _check_files(folder, config, manifest)
    return config


def _check_files(folder: Path, config: CheckpointConfig, manifest: Manifest) -> None:
    for name in config.vocabulary.files:
        check_file_name(name, folder / CONFIG)
        if name not in manifest.files or name in (*FIXED_FILES, SHORTLIST):
            raise CheckpointError(f"{folder / CONFIG} takes {name} for a file of the vocabulary, the manifest does not")
    strange = sorted({*manifest.files} - {*FIXED_FILES, SHORTLIST, *config.vocabulary.files})
    if strange:
        raise CheckpointError(f"{folder / strange[0]} is of no use to a checkpoint: remove it from the manifest too")


def _faults(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
