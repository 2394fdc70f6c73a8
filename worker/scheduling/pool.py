"""What segments must have in common to share a batch."""

from typing import NamedTuple


class Pool(NamedTuple):
    """Segments with equal pools can share a batch, and are equal when their pieces are.

    A tuple, because every job looks one up several times: that of a dataclass is hashed in Python.
    """

    source_language: str
    target_language: str
    model_version: str
    beam_size: int
    length_penalty: float
