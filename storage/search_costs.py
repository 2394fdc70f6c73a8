"""Which way to the documents is cheaper: one by one from the latest, or by the index. Pure: figures in, a choice out.

The unit of all costs is reading one document after the other. The figures are measured (`benchmarks/NOTES.md`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

# Of the index: one more document with a word, and one more word. Then a document it names, wherever that lies.
POSTING, WORD, NAMED = 0.1, 6.0, 3.0


@dataclass(frozen=True, slots=True)
class Told:
    """The words that a part of a word stands for, and which share of documents holds any of them."""

    words: Sequence[str]
    share: float

    def cost(self, documents: int) -> float:
        """What it costs to ask the index for them, in a run of so many documents."""
        return WORD * len(self.words) + POSTING * self.share * documents


class Sample:
    """How many of the documents that were read hold each part."""

    def __init__(self, parts: int) -> None:
        self._documents = 0
        self._holding = [0] * parts

    def add(self, documents: int, holding: Sequence[int]) -> None:
        """Count documents that were read."""
        self._documents += documents
        self._holding = [before + more for before, more in zip(self._holding, holding, strict=True)]

    def shares(self) -> list[float]:
        """Of documents, by part; never nothing, as what was not seen may be there."""
        return [(count + 0.5) / (self._documents + 1) for count in self._holding]


def is_worth_asking(told: Sequence[Told], another: Told, documents: int) -> bool:
    """Whether asking the index for one more part saves more documents to be read than it costs."""
    return another.cost(documents) < NAMED * _named(told, documents) * (1 - another.share)


def index_cost(told: Sequence[Told], documents: int) -> float:
    """What it costs to ask the index for these parts, and to read what it names."""
    return sum(one.cost(documents) for one in told) + NAMED * _named(told, documents)


def _named(told: Sequence[Told], documents: int) -> float:
    """How many documents hold them all, if parts had nothing to do with each other."""
    named = float(documents)
    for one in told:
        named *= one.share
    return named
