"""Finds the checkpoints that come with Dragoman."""

from pathlib import Path

SHIPPED = Path(__file__).parent / "checkpoints"
DEFAULT = "tatoeba-en-fr"


def default_checkpoint() -> Path:
    """Folder of the checkpoint that is used when none is named."""
    return SHIPPED / DEFAULT
