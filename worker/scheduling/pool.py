"""What segments must have in common to share a batch. Knows no segment."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pool:
    """A language pair, the model version that translates it, and the options of the search."""

    source_language: str
    target_language: str
    model_version: str
    beam_size: int
    length_penalty: float
