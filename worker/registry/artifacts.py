"""Where registered checkpoints are kept: a folder or a URL, a place for each content. Knows files, no table.

A place is written once: the manifest comes last, so a place with a manifest is whole. What is not on this machine is
copied into a cache before it is used, and nothing is used whose content is not the one that was registered.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from ...errors import ConfigurationError, DragomanError
from ...model.manifest import MANIFEST, CheckpointError, Manifest, read_manifest, replaced_name, verify_files
from ...model.replacement import replacing


class ArtifactError(DragomanError):
    """The files of a model cannot be read or written where they are kept, or are not those that were registered."""


def keep(folder: Path, base_url: str) -> str:
    """Copy a checkpoint to its place below `base_url`; returns the place's URL. Does nothing if it is there.

    Raises `CheckpointError` for a folder that is damaged, `ArtifactError` when the copy fails.
    """
    manifest = read_manifest(folder)
    verify_files(folder, manifest)
    with _failures(base_url):
        system, base = _opened(base_url)
        place = f"{base.rstrip('/')}/{manifest.sha256}"
        if not system.exists(f"{place}/{MANIFEST}"):
            system.makedirs(place, exist_ok=True)
            for name in (*manifest.files, MANIFEST):
                system.put_file(str(folder / name), f"{place}/{name}")
        url: str = system.unstrip_protocol(place)
        return url


def fetch(url: str, sha256: str, cache: Path) -> Path:
    """A folder of this machine with the checkpoint at `url`, verified; raises `ArtifactError`, `CheckpointError`."""
    with _failures(url):
        system, place = _opened(url)
        local = Path(place) if isinstance(system, LocalFileSystem) else None
    folder = local or _cached(system, place, cache / sha256)
    manifest = read_manifest(folder)
    verify_files(folder, manifest)
    if manifest.sha256 != sha256:
        raise ArtifactError(
            f"the checkpoint at {url} has another content than was registered: it was exchanged; register it anew"
        )
    return folder


@contextmanager
def fetched(url: str, cache: Path) -> Iterator[Path]:
    """A folder with the checkpoint at a URL that is not registered yet, for as long as the block lasts."""
    with _failures(url):
        system, place = _opened(url)
    if isinstance(system, LocalFileSystem):
        yield Path(place)
        return
    folder = cache / "incoming"
    try:
        _download(system, place, folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _cached(system: Any, place: str, folder: Path) -> Path:
    if not _is_whole(folder):
        _download(system, place, folder)
    return folder


def _is_whole(folder: Path) -> bool:
    try:
        verify_files(folder, read_manifest(folder))
    except (CheckpointError, OSError):
        return False
    return True


def _download(system: Any, place: str, folder: Path) -> None:
    with _failures(system.unstrip_protocol(place)), replacing(folder, replaced_name(folder)) as fresh:
        system.get_file(f"{place}/{MANIFEST}", str(fresh / MANIFEST))
        manifest: Manifest = read_manifest(fresh)
        for name in manifest.files:
            system.get_file(f"{place}/{name}", str(fresh / name))


def _opened(url: str) -> tuple[Any, str]:
    try:
        system, path = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise ConfigurationError(
            f"{url} cannot be opened ({error}): write a folder, file://, or s3:// with pip install 'dragoman[s3]'"
        ) from error
    return system, path


@contextmanager
def _failures(url: str) -> Iterator[None]:
    """Files behind a URL fail with the errors of whatever library serves them."""
    try:
        yield
    except DragomanError:
        raise
    except Exception as error:
        raise ArtifactError(f"the model files at {url} cannot be copied ({type(error).__name__}: {error})") from error
