"""The file of a checkpoint that holds its shortlist: safetensors of 32-bit integers. Knows no vocabulary."""

from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.numpy

from ..errors import ConfigurationError
from .manifest import CheckpointError
from .shortlist import Shortlist

PARTS = ("starts", "pieces", "frequent")


@dataclass(frozen=True, slots=True)
class ShortlistSize:
    """How many pieces a shortlist holds: likeliest ones of all source pieces together, and frequent ones."""

    source_pieces: int
    likeliest: int
    frequent: int


def write_shortlist(path: Path, shortlist: Shortlist) -> None:
    """Write the three arrays of a shortlist."""
    # Not `save_file`, whose files only their owner may read.
    path.write_bytes(safetensors.numpy.save({name: getattr(shortlist, name) for name in PARTS}))


def read_shortlist(path: Path, source_size: int, target_size: int) -> Shortlist:
    """The shortlist in a file; raises `CheckpointError` if it is damaged or not for so many pieces."""
    try:
        parts = safetensors.numpy.load(path.read_bytes())
        if set(parts) != set(PARTS):
            raise ConfigurationError(f"it holds {', '.join(sorted(parts)) or 'nothing'}, not {', '.join(PARTS)}")
        shortlist = Shortlist(**parts)
        shortlist.check_fit(source_size, target_size)
    except safetensors.SafetensorError as error:
        raise CheckpointError(f"{path} is not a shortlist: {error}") from error
    except ConfigurationError as error:
        raise CheckpointError(f"{path} is no shortlist of this checkpoint: {error}; learn it again") from error
    return shortlist


def shortlist_size(path: Path) -> ShortlistSize:
    """The size of the shortlist in a file, which is not read whole; raises `CheckpointError` for another file."""
    with safetensors.safe_open(path, "np") as file:
        if set(file.keys()) != set(PARTS):
            raise CheckpointError(f"{path} is not a shortlist: copy the whole checkpoint again")
        starts, pieces, frequent = (file.get_slice(name).get_shape()[0] for name in PARTS)
    return ShortlistSize(starts - 1, pieces, frequent)
