"""Makes a corpus of pairs from anywhere: cleaned, one translation a source, split for good. Knows texts and files.

Writes `PART.ORIGIN.SOURCE-TARGET.tsv.gz`, which `dragoman train` reads. Memory: some 70 bytes a kept pair.
"""

import gzip
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from .cleaning import REASONS, CleaningRules
from .language_check import LanguageCheck
from .split import Part, part_of

Origin = Literal["correction", "model"]
# Reasons beyond those of cleaning.
LOW_SCORE, OTHER_LANGUAGE, CORRECTED = "low score", "other language", "corrected"
DUPLICATE = REASONS[-1]
# In the order in which they are asked: the language last, because that takes longest.
DROP_REASONS = (LOW_SCORE, *REASONS[:-1], CORRECTED, DUPLICATE, OTHER_LANGUAGE)


class Candidate(Protocol):
    """A pair that may become part of the corpus; `score` None = not known, `made_by` = a model version or nobody's."""

    @property
    def source_text(self) -> str: ...
    @property
    def target_text(self) -> str: ...
    @property
    def origin(self) -> Origin: ...
    @property
    def score(self) -> float | None: ...
    @property
    def made_by(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class HarvestRules:
    """What a pair must be like; `min_score` is asked of what a model wrote only."""

    languages: tuple[str, str]
    cleaning: CleaningRules
    min_score: float | None = None
    check: LanguageCheck | None = None

    def fault(self, candidate: Candidate, texts: tuple[str, str]) -> str | None:
        """Why a pair with these tidied texts is not fit, or None."""
        if candidate.origin == "model" and not self._scores_enough(candidate.score):
            return LOW_SCORE
        return self.cleaning.fault(texts, self.languages)

    def is_in_other_language(self, texts: tuple[str, str]) -> bool:
        """Whether a side is surely in another language than it should be."""
        return self.check is not None and any(map(self.check.contradicts, texts, self.languages))

    def _scores_enough(self, score: float | None) -> bool:
        return self.min_score is None or (score is not None and score >= self.min_score)


@dataclass(frozen=True, slots=True)
class HarvestedFile:
    """A file of the corpus."""

    name: str
    part: Part
    origin: Origin
    pairs: int
    size_bytes: int
    sha256: str


@dataclass(slots=True)
class Harvest:
    """What was read, kept and dropped, and the files that there are now."""

    kept: Counter[tuple[Part, Origin]] = field(default_factory=Counter)
    dropped: Counter[tuple[Origin, str]] = field(default_factory=Counter)
    made_by: Counter[str] = field(default_factory=Counter)
    files: tuple[HarvestedFile, ...] = ()


def harvest(candidates: Iterable[Candidate], rules: HarvestRules, folder: Path) -> Harvest:
    """Write the files of the corpus into an empty folder.

    Corrections must come first, and within an origin what is preferred: of pairs with the same source the first is
    kept. A corrected source has no other translation, even where its correction is not fit. Raises OSError.
    """
    result = Harvest()
    with _writers(folder, rules.languages) as write:
        for candidate, texts in _fit(candidates, rules, result):
            part = part_of(texts[0])
            write(part, candidate.origin, texts)
            result.kept[part, candidate.origin] += 1
            if candidate.made_by is not None:
                result.made_by[candidate.made_by] += 1
    result.files = tuple(_described(folder, rules.languages, result.kept))
    return result


def _fit(
    candidates: Iterable[Candidate], rules: HarvestRules, result: Harvest
) -> Iterator[tuple[Candidate, tuple[str, str]]]:
    """The pairs that are kept, tidied; why others are not is counted."""
    kept: set[int] = set()
    corrected: set[int] = set()
    for candidate in candidates:
        texts = rules.cleaning.tidy(candidate.source_text), rules.cleaning.tidy(candidate.target_text)
        key = _key(texts[0])
        fault = rules.fault(candidate, texts)
        if fault is None and candidate.origin == "model" and key in corrected:
            fault = CORRECTED
        elif fault is None and key in kept:
            fault = DUPLICATE
        elif fault is None and rules.is_in_other_language(texts):
            fault = OTHER_LANGUAGE
        if candidate.origin == "correction":
            corrected.add(key)
        if fault is None:
            kept.add(key)
            yield candidate, texts
        else:
            result.dropped[candidate.origin, fault] += 1


def _key(source: str) -> int:
    return int.from_bytes(hashlib.blake2b(source.encode(errors="surrogatepass"), digest_size=8).digest(), "big")


@contextmanager
def _writers(folder: Path, languages: tuple[str, str]) -> "Iterator[_Write]":
    with ExitStack() as opened:
        files: dict[tuple[Part, Origin], gzip.GzipFile] = {}

        def write(part: Part, origin: Origin, texts: tuple[str, str]) -> None:
            if (part, origin) not in files:
                raw = opened.enter_context((folder / file_name(part, origin, languages)).open("wb"))
                # Without name and time, so that the same rows make the same file.
                files[part, origin] = opened.enter_context(gzip.GzipFile("", "wb", 6, raw, mtime=0))
            files[part, origin].write(f"{texts[0]}\t{texts[1]}\n".encode())

        yield write


class _Write(Protocol):
    def __call__(self, part: Part, origin: Origin, texts: tuple[str, str]) -> None: ...


def file_name(part: Part, origin: Origin, languages: tuple[str, str]) -> str:
    """What a file of the corpus is called."""
    return f"{part}.{origin}.{'-'.join(languages)}.tsv.gz"


def _described(folder: Path, languages: tuple[str, str], kept: Counter[tuple[Part, Origin]]) -> Iterator[HarvestedFile]:
    for (part, origin), pairs in sorted(kept.items()):
        path = folder / file_name(part, origin, languages)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        yield HarvestedFile(path.name, part, origin, pairs, path.stat().st_size, digest)
