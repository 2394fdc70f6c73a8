"""BLEU, chrF and TER, by sacrebleu (Post 2018, aclanthology.org/W18-6319). Knows texts and references, no files."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sacrebleu

from ..decoding import SearchOptions
from ..translator import Translator
from .test_set import TestSet, read_test_set

__all__ = ["Quality", "TestSet", "evaluate", "read_test_set", "reference_columns", "score", "sentence_chrf"]


@dataclass(frozen=True, slots=True)
class Quality:
    """Corpus scores with the signatures that make them comparable.

    BLEU and chrF go from 0 to 100, more is better; TER counts edits per 100 words of the reference, less is better.
    """

    bleu: float
    chrf: float
    bleu_signature: str
    chrf_signature: str
    ter: float
    ter_signature: str

    def __str__(self) -> str:
        return (
            f"BLEU {self.bleu:.1f} ({self.bleu_signature}), chrF {self.chrf:.1f} ({self.chrf_signature}), "
            f"TER {self.ter:.1f} ({self.ter_signature})"
        )


def evaluate(translator: Translator, test_set: TestSet, options: SearchOptions, target: str | None = None) -> Quality:
    """Translate the sources to `target` and score the translations against all references.

    Raises `ConfigurationError` for a source that is too long for the model.
    """
    translations = translator.translate(test_set.sources, options, target=target)
    return score([translation.text for translation in translations], test_set.references)


def score(translations: Sequence[str], references: Sequence[Sequence[str]]) -> Quality:
    """Score translations; where a segment has fewer references than another, the missing ones count as none."""
    columns = reference_columns(references)
    bleu, chrf, ter = sacrebleu.BLEU(), sacrebleu.CHRF(), sacrebleu.TER()
    scores = [metric.corpus_score(translations, columns).score for metric in (bleu, chrf, ter)]
    return Quality(
        bleu=scores[0],
        chrf=scores[1],
        ter=scores[2],
        bleu_signature=str(bleu.get_signature()),
        chrf_signature=str(chrf.get_signature()),
        ter_signature=str(ter.get_signature()),
    )


def sentence_chrf(translation: str, references: Sequence[str]) -> float:
    """chrF of one segment, 0 to 100, against the reference that is nearest."""
    return float(sacrebleu.CHRF().sentence_score(translation, references).score)


def reference_columns(references: Sequence[Sequence[str]]) -> list[list[Any]]:
    """References by segment -> by number, as sacrebleu takes them; None where a segment has fewer."""
    most = max(map(len, references))
    return [[row[place] if place < len(row) else None for row in references] for place in range(most)]
