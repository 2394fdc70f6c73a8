"""What segments must have in common to share a batch."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pool:
    """Segments with equal pools can share a batch, and are equal when their pieces are."""

    source_language: str
    target_language: str
    model_version: str
    beam_size: int
    length_penalty: float
