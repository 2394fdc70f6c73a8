"""Reads a Marian model as Marian itself writes it and OPUS-MT's archives hold it. Knows files, YAML and npz.

*.npz         the weights by name; among them special:model.yml, the config
*.vocab.yml   piece -> number; *.src.vocab.yml and *.trg.vocab.yml where source and target have their own
source.spm    SentencePiece model of the source, target.spm of the target
decoder.yml   names the npz and the vocabularies, if it is there
"""

import reprlib
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from ...errors import ConfigurationError

Arrays = Mapping[str, npt.NDArray[Any]]

CONFIG = "special:model.yml"
DECODER = "decoder.yml"
# libyaml reads a vocabulary of 60,000 pieces about ten times as fast; not every build of PyYAML has it.
_FAST_LOADER: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
# Marian writes YAML 1.2, PyYAML reads YAML 1.1, for which these characters break lines (some pieces of OPUS-MT have
# them): while it reads they are others, of a plane that has no characters.
_HIDDEN = {code: 0x100000 + code for code in (0x85, 0x2028, 0x2029)}
_SHOWN = {hidden: code for code, hidden in _HIDDEN.items()}
# The events of one mapping of scalars, without those of the scalars.
_FLAT = [
    yaml.StreamStartEvent,
    yaml.DocumentStartEvent,
    yaml.MappingStartEvent,
    yaml.MappingEndEvent,
    yaml.DocumentEndEvent,
    yaml.StreamEndEvent,
]
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError, KeyError, MemoryError)


@dataclass(frozen=True, slots=True)
class NativeFiles:
    """What a folder holds; values of `config` are strings, lists and mappings of them, as YAML writes them."""

    model: Path
    config: Mapping[str, Any]
    arrays: Arrays
    models: tuple[bytes, bytes]
    vocabulary: Mapping[str, int]
    target_vocabulary: Mapping[str, int] | None

    def is_on(self, key: str) -> bool:
        """Whether a switch is on; raises `ConfigurationError` if it is no switch."""
        value = self.config.get(key, "false")
        if value not in ("true", "false"):
            raise self.refused(key, "true or false")
        return bool(value == "true")

    def number(self, key: str, default: int | None = None) -> int:
        """The whole number of `key`; raises `ConfigurationError` without one."""
        value = self.config.get(key, default)
        if not str(value).isdecimal():
            raise self.refused(key, "a whole number")
        return int(value)

    def refused(self, key: str, allowed: str) -> ConfigurationError:
        """The error for what the config says of `key`."""
        value = reprlib.repr(self.config.get(key))
        return ConfigurationError(f"{self.model.name} has {key} = {value} in its config: it must be {allowed}")


def is_native(folder: Path) -> bool:
    """Whether `folder` looks like Marian's own form, complete or not."""
    if (folder / "config.json").exists():
        return False
    return any(next(folder.glob(pattern), None) for pattern in ("*.npz", "*.vocab.yml", DECODER))


def read_native_files(folder: Path) -> NativeFiles:
    """Read `folder`; raises `ConfigurationError` naming the file that is missing or damaged."""
    named = _read_yaml(folder / DECODER, _read_bytes(folder / DECODER)) if (folder / DECODER).exists() else {}
    model = _find_model(folder, named)
    source, target = (_read_vocabulary(path) for path in _find_vocabularies(folder, named))
    arrays = _read_arrays(model)
    return NativeFiles(
        model=model,
        config=_read_config(model, arrays),
        arrays={name: array for name, array in arrays.items() if not name.startswith("special:")},
        models=(_read_bytes(folder / "source.spm"), _read_bytes(folder / "target.spm")),
        vocabulary=source,
        target_vocabulary=None if source == target else target,
    )


def _find_model(folder: Path, named: Mapping[str, Any]) -> Path:
    paths = _listed(folder, named, "models") or sorted(folder.glob("*.npz"))
    if not paths:
        raise ConfigurationError(f"{folder} is not a Marian model: it has no file *.npz")
    if len(paths) > 1:
        names = ", ".join(path.name for path in paths)
        raise ConfigurationError(f"{folder} has several models ({names}): leave one of them, and no decoder.yml")
    return paths[0]


def _find_vocabularies(folder: Path, named: Mapping[str, Any]) -> tuple[Path, Path]:
    paths = _listed(folder, named, "vocabs") or _vocabularies_there(folder)
    if len(paths) not in (1, 2):
        raise ConfigurationError(
            f"{folder} must have one vocabulary, *.vocab.yml, or two, *.src.vocab.yml and *.trg.vocab.yml"
        )
    strange = next((path.name for path in paths if path.suffix not in (".yml", ".yaml")), None)
    if strange:
        raise ConfigurationError(f"{DECODER} names the vocabulary {strange}: only one in YAML can be imported")
    return paths[0], paths[-1]


def _vocabularies_there(folder: Path) -> list[Path]:
    own = [path for side in ("src", "trg") for path in sorted(folder.glob(f"*.{side}.vocab.yml"))]
    return own if len(own) == 2 else sorted(folder.glob("*.vocab.yml"))[:2] * (not own)


def _listed(folder: Path, named: Mapping[str, Any], key: str) -> list[Path]:
    """The files that decoder.yml lists, which lie beside it."""
    names = named.get(key, [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ConfigurationError(f"{DECODER} must list files as {key}: copy it again, or remove it")
    return [folder / Path(name).name for name in names]


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        hint = ""
        if path.suffix == ".spm" and path.with_suffix(".bpe").exists():
            hint = f" (it cuts text by {path.stem}.bpe: only SentencePiece models can be imported)"
        raise ConfigurationError(f"{path.parent} is not a Marian model: it has no {path.name}{hint}") from error
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error


def _read_vocabulary(path: Path) -> dict[str, int]:
    try:
        scalars = [*_flat_scalars(path, _read_bytes(path).decode("utf-8-sig").translate(_HIDDEN))]
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{path} is not YAML in UTF-8: copy it again") from error
    pieces, numbers = scalars[::2], scalars[1::2]
    if len({*pieces}) != len(pieces) or {*numbers} != {*map(str, range(len(pieces)))}:
        raise ConfigurationError(f"{path} must number its {len(pieces)} pieces from 0 on, each once: copy it again")
    return dict(zip(pieces, map(int, numbers), strict=True))


def _flat_scalars(path: Path, text: str) -> Iterator[str]:
    """Keys and values of one mapping, in turn."""
    structure = iter(_FLAT)
    for event in yaml.parse(text, Loader=_FAST_LOADER):
        if isinstance(event, yaml.ScalarEvent):
            yield event.value.translate(_SHOWN)
        elif type(event) is not next(structure, None):
            raise ConfigurationError(f"{path} does not number pieces, one on each line: copy it again")


def _read_arrays(path: Path) -> Arrays:
    try:
        with path.open("rb") as file:
            arrays = _unpacked(np.load(file, allow_pickle=False))
    except FileNotFoundError as error:
        raise ConfigurationError(f"{path.parent} is not a Marian model: it has no {path.name}") from error
    except _DAMAGED as error:
        raise ConfigurationError(f"{path} is truncated, damaged or holds more than arrays: copy it again") from error
    if not all(isinstance(array, np.ndarray) for array in arrays.values()):
        raise ConfigurationError(f"{path} is truncated, damaged or holds more than arrays: copy it again")
    return arrays


def _unpacked(loaded: Any) -> Arrays:
    if isinstance(loaded, np.ndarray):
        raise ValueError("a single array, which has no name")
    with loaded as archive:
        return {name: archive[name] for name in archive.files}


def _read_config(model: Path, arrays: Arrays) -> dict[str, Any]:
    """The config that Marian keeps among the arrays: the bytes of a text, and a 0 at its end."""
    if CONFIG not in arrays:
        raise ConfigurationError(f"{model} lacks the array {CONFIG}: only models of Marian can be imported")
    return _read_yaml(model, arrays[CONFIG].tobytes().rstrip(b"\0"))


def _read_yaml(path: Path, content: bytes) -> dict[str, Any]:
    try:
        # Every scalar as it is written: "no" is a language, and "dan" is no name.
        read = yaml.load(content, Loader=yaml.BaseLoader)  # noqa: S506 - makes strings, lists and mappings only
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigurationError(f"the YAML in {path} is damaged: copy it again") from error
    if not isinstance(read, dict):
        raise ConfigurationError(f"the YAML in {path} does not hold options by name: copy it again")
    return read
