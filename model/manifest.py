"""The manifest of a checkpoint: size and SHA-256 of every file in its folder, and the version of the format.

Knows files and their names, nothing of what is in them. A manifest guards against damage and against files that do not
belong together; who can write the folder can write the manifest too.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError

FORMAT_VERSION = 2
MANIFEST = "manifest.json"
# The card says how a model came about; a better card does not make it another model.
CARD = "README.md"
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class CheckpointError(ConfigurationError):
    """A checkpoint folder is missing, damaged or of another format version, or cannot be written."""


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What a manifest says of one file."""

    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """The files of a checkpoint by name, without the manifest itself."""

    files: Mapping[str, FileFacts]

    @property
    def sha256(self) -> str:
        """Hash of what decides the translations: of every file but the card."""
        parts = [f"{name} {self.files[name].sha256}" for name in sorted(self.files) if name != CARD]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    @property
    def size_bytes(self) -> int:
        """Size of all files together."""
        return sum(facts.bytes for facts in self.files.values())


def write_manifest(folder: Path, names: Iterable[str]) -> Manifest:
    """Describe the files `names` of `folder` in its manifest."""
    manifest = Manifest({name: _facts(folder / name) for name in names})
    files = {name: asdict(facts) for name, facts in manifest.files.items()}
    (folder / MANIFEST).write_text(json.dumps({"format_version": FORMAT_VERSION, "files": files}, indent=2) + "\n")
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """The manifest of `folder`, its files not looked at; raises `CheckpointError` if there is none that can be used."""
    if not folder.is_dir():
        raise CheckpointError(f"there is no checkpoint folder {folder}: {_advice(folder)}")
    content = read_json(folder / MANIFEST)
    check_format(folder, content.get("format_version"))
    files = content.get("files")
    if not isinstance(files, dict) or not files:
        raise CheckpointError(f"{folder / MANIFEST} lists no files: copy the whole checkpoint again")
    return Manifest({name: _listed(folder, name, facts) for name, facts in files.items()})


def verify_files(folder: Path, manifest: Manifest) -> None:
    """Raise `CheckpointError` for a file that is missing, not the one of the manifest, or not in it."""
    for name, facts in manifest.files.items():
        if not (folder / name).is_file():
            raise CheckpointError(f"the checkpoint {folder} has no {name}: copy the whole folder again")
        if _facts(folder / name) != facts:
            raise CheckpointError(f"{folder / name} is truncated or was changed: copy the whole checkpoint again")
    known = {*manifest.files, MANIFEST}
    # What begins with a dot is left behind by file managers and version control.
    strange = sorted(path for path in folder.iterdir() if path.name not in known and not path.name.startswith("."))
    if strange:
        raise CheckpointError(f"{strange[0]} is no part of the checkpoint: its manifest does not list it; move it away")


def check_format(folder: Path, version: object) -> None:
    """Raise `CheckpointError` for a format version that this Dragoman does not read."""
    if version == FORMAT_VERSION and isinstance(version, int):
        return
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise CheckpointError(
            f"the checkpoint {folder} has format version {version}, this Dragoman reads {FORMAT_VERSION}: "
            "it was written by a newer Dragoman; upgrade this one with `pip install --upgrade dragoman`"
        )
    raise CheckpointError(
        f"the checkpoint {folder} has format version {version}, this Dragoman reads {FORMAT_VERSION}: "
        "train it again, or use the Dragoman that wrote it"
    )


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file of a checkpoint; raises `CheckpointError` if there is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{path.parent} is not a checkpoint: it has no {path.name}") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not JSON: copy the whole checkpoint again") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} does not hold a JSON object: copy the whole checkpoint again")
    return content


def check_file_name(name: str, place: Path) -> None:
    """Raise `CheckpointError` for the name of a file that would not lie in the checkpoint's folder itself."""
    if not _FILE_NAME.fullmatch(name) or name == MANIFEST:
        raise CheckpointError(f"{place} names a file {name!r}: only plain names of files beside it are allowed")


def _listed(folder: Path, name: str, facts: object) -> FileFacts:
    check_file_name(name, folder / MANIFEST)
    try:
        listed = FileFacts(**facts)  # type: ignore[arg-type]
        if type(listed.bytes) is int and _SHA256.fullmatch(listed.sha256):
            return listed
    except TypeError:
        pass
    raise CheckpointError(
        f"{folder / MANIFEST} does not give size and SHA-256 of {name}: copy the whole checkpoint again"
    )


def _advice(folder: Path) -> str:
    """What to do about a folder that is not there; a save may have been killed while it moved the old one away."""
    kept = replaced_name(folder)
    if kept.is_dir():
        return f"a save was interrupted, the older checkpoint is {kept}; rename it"
    return "train one with `dragoman train`, or name another"


def replaced_name(folder: Path) -> Path:
    """Where the older checkpoint lies for the moment in which a new one takes its place."""
    return folder.with_name(f".{folder.name}-replaced")


def _facts(path: Path) -> FileFacts:
    with path.open("rb") as file:
        return FileFacts(path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())
