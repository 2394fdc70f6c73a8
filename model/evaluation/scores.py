"""BLEU and chrF of a translator on a file of references, by sacrebleu (Post 2018, aclanthology.org/W18-6319)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sacrebleu

from ...errors import ConfigurationError
from ..corpora.reading import read_rows
from ..decoding import SearchOptions
from ..translator import Translator

REFERENCE_SEPARATOR = " ||| "


@dataclass(frozen=True, slots=True)
class TestSet:
    """Sources, each with one or more references."""

    sources: tuple[str, ...]
    references: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Quality:
    """Corpus scores, 0 to 100, with the signatures that make them comparable."""

    bleu: float
    chrf: float
    bleu_signature: str
    chrf_signature: str

    def __str__(self) -> str:
        return f"BLEU {self.bleu:.1f} ({self.bleu_signature}), chrF {self.chrf:.1f} ({self.chrf_signature})"


def read_test_set(path: Path) -> TestSet:
    """Read source, target and, in an optional third column, further references parted by ` ||| `.

    Raises `ConfigurationError` for a file that is empty or not a test set.
    """
    rows = list(read_rows(path))
    if not rows:
        raise ConfigurationError(f"the test set {path} is empty: nothing can be measured on it")
    more = [row[2].split(REFERENCE_SEPARATOR) if len(row) > 2 and row[2] else [] for row in rows]
    references = tuple((row[1], *others) for row, others in zip(rows, more, strict=True))
    return TestSet(tuple(row[0] for row in rows), references)


def evaluate(translator: Translator, test_set: TestSet, options: SearchOptions) -> Quality:
    """Translate the sources and score the translations against all references."""
    return score([result.text for result in translator.translate(test_set.sources, options)], test_set.references)


def score(translations: Sequence[str], references: Sequence[Sequence[str]]) -> Quality:
    """Score translations; where a segment has fewer references than another, the missing ones count as none."""
    most = max(map(len, references))
    columns: list[list[Any]] = [
        [row[place] if place < len(row) else None for row in references] for place in range(most)
    ]
    bleu, chrf = sacrebleu.BLEU(), sacrebleu.CHRF()
    bleu_score = bleu.corpus_score(translations, columns).score
    chrf_score = chrf.corpus_score(translations, columns).score
    return Quality(bleu_score, chrf_score, str(bleu.get_signature()), str(chrf.get_signature()))
