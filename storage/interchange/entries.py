"""What a reader of a file gives: units, faults, units passed over. Knows no format."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal

PassedReason = Literal["of other languages", "without a translation", "not confirmed"]


@dataclass(frozen=True, slots=True)
class Unit:
    """A segment and its translation; `number` counts the file's units from 1, broken ones too. None = not said."""

    number: int
    source_text: str
    target_text: str
    source_language: str | None = None
    target_language: str | None = None
    author: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """A unit that cannot be used, and why: a sentence that quotes nothing of it. `line` None = not known."""

    number: int
    line: int | None
    sentence: str

    def __str__(self) -> str:
        place = f"unit {self.number}" if self.line is None else f"unit {self.number}, line {self.line}"
        return f"{place}: {self.sentence}"


@dataclass(frozen=True, slots=True)
class Passed:
    """A sound unit that says nothing to us."""

    number: int
    reason: PassedReason


@dataclass(frozen=True, slots=True)
class Languages:
    """The pair that is wanted of a file; None = the file says it."""

    source: str | None = None
    target: str | None = None


Entry = Unit | Fault | Passed
# Reads as the entries are taken; raises `ConfigurationError` for a file that is not of the format at all.
Reader = Callable[[BinaryIO, Languages], Iterator[Entry]]


def matching_tag(tags: list[str], wanted: str) -> str | None:
    """Of a file's tags the one that names `wanted`: the same one, else the first regional form (`en_us` for `en`)."""
    plain = [tag.strip().lower().replace("_", "-") for tag in tags]
    name = wanted.lower()
    for place, tag in enumerate(plain):
        if tag == name:
            return tags[place]
    return next((tags[place] for place, tag in enumerate(plain) if tag.startswith(name + "-")), None)
