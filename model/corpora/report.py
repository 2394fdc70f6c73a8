"""What was read, kept and dropped, file by file. Knows counts only."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .cleaning import REASONS


@dataclass(frozen=True, slots=True)
class FileReport:
    """How many pairs of one file were kept, and how many were dropped for which reason."""

    name: str
    languages: tuple[str, str]
    weight: float
    kept: int
    dropped: Mapping[str, int]

    @property
    def read(self) -> int:
        """All pairs of the file."""
        return self.kept + sum(self.dropped.values())

    def __str__(self) -> str:
        weight = "" if self.weight == 1 else f", weight {self.weight:g}"
        return f"{self.name} ({'-'.join(self.languages)}{weight}): {_counts(self.kept, self.dropped)}"


@dataclass(frozen=True, slots=True)
class CorpusReport:
    """The files of a corpus in the order in which they were named."""

    files: tuple[FileReport, ...]

    @property
    def kept(self) -> int:
        """Pairs kept in all files, each counted once whatever its weight and directions."""
        return sum(file.kept for file in self.files)

    @property
    def dropped(self) -> Mapping[str, int]:
        """Pairs dropped in all files, by reason, in the order of `REASONS`."""
        total = sum((Counter(file.dropped) for file in self.files), Counter())
        return {reason: total[reason] for reason in REASONS if total[reason]}

    def __str__(self) -> str:
        """One line; `lines` tells more."""
        return _counts(self.kept, self.dropped)

    def lines(self) -> list[str]:
        """A line for each file and one for all."""
        return [*map(str, self.files), f"together: {self}"]

    def as_json(self) -> dict[str, Any]:
        """What `json.dumps` can take."""
        files = [asdict(file) | {"read": file.read, "languages": list(file.languages)} for file in self.files]
        return {"kept": self.kept, "dropped": dict(self.dropped), "files": files}


def _counts(kept: int, dropped: Mapping[str, int]) -> str:
    named = ", ".join(f"{count} {reason}" for reason, count in dropped.items() if count)
    return f"{kept} pairs kept; dropped: {named or 'none'}"
