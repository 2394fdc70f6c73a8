"""Finds the checkpoints that come with Dragoman."""

from pathlib import Path

from ..errors import ConfigurationError
from .checkpoint_config import read_config
from .manifest import MANIFEST, read_manifest

SHIPPED = Path(__file__).parent / "checkpoints"
DEFAULT = "tatoeba-en-to-de-es-fr"


def default_checkpoint() -> Path:
    """Folder of the checkpoint that is used when none is named."""
    return SHIPPED / DEFAULT


def shipped_checkpoints() -> list[Path]:
    """Folders of all checkpoints that come with Dragoman, by name."""
    return checkpoints_in(SHIPPED)


def checkpoints_in(folder: Path) -> list[Path]:
    """The folder itself if it is a checkpoint, else the checkpoints that lie in it, by name."""
    if (folder / MANIFEST).is_file():
        return [folder]
    return sorted(path.parent for path in folder.glob(f"*/{MANIFEST}"))


def find_checkpoint(name: str) -> Path:
    """The checkpoint folder called `name`: a path, or the name of a shipped one."""
    return SHIPPED / name if not Path(name).exists() and (SHIPPED / name / MANIFEST).is_file() else Path(name)


def shipped_for(source: str, target: str) -> Path:
    """The shipped checkpoint that translates `source` to `target`, the default one if it does.

    Raises `ConfigurationError` naming the pairs there are.
    """
    pairs = {folder: _pairs(folder) for folder in (default_checkpoint(), *shipped_checkpoints())}
    for folder, known in pairs.items():
        if (source, target) in known:
            return folder
    every = sorted({f"{source}-{target}" for known in pairs.values() for source, target in known})
    raise ConfigurationError(
        f"no shipped model translates {source}-{target}, only {', '.join(every)}: name a checkpoint folder"
    )


def _pairs(folder: Path) -> tuple[tuple[str, str], ...]:
    return read_config(folder, read_manifest(folder)).language_pairs
