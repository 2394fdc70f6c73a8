"""One file of parallel text, as a run names it, and what comes out of it. Knows no format."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ...errors import ConfigurationError

Direction = Literal["both", "forward"]


@dataclass(frozen=True, slots=True)
class LabelledPair:
    """A text and its translation, with the languages of both."""

    source: str
    target: str
    source_language: str
    target_language: str


@dataclass(frozen=True, slots=True)
class CorpusFile:
    """A corpus file, the languages of its two sides, and how often an epoch takes each pair of it on average.

    `direction` "forward" teaches the second language from the first and not the other way round: text that a model
    wrote is worth learning to write, or to read, but not both.
    """

    path: Path
    languages: tuple[str, str]
    weight: float = 1.0
    direction: Direction = "both"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.weight) and self.weight > 0):
            raise ConfigurationError(f"the weight of {self.path} must be above 0, not {self.weight}")
        if len(self.languages) != 2 or self.languages[0] == self.languages[1]:
            named = ", ".join(self.languages) or "none"
            raise ConfigurationError(f"{self.path} needs two different languages, not {named}")

    @property
    def short_name(self) -> str:
        """Folder and name: enough to know the file by, without the machine it lies on."""
        return "/".join(self.path.parts[-2:])

    def serves(self, pairs: Sequence[tuple[str, str]]) -> tuple[bool, bool]:
        """Whether its first language is wanted as source of the second, and the second as source of the first."""
        backward = self.direction == "both" and self.languages[::-1] in pairs
        return self.languages in pairs, backward
