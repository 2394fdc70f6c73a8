"""The corpus of a retraining: a folder with train, dev and test, as an export of the history writes it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigurationError
from ..model.corpora.tsv import read_rows
from ..storage.models import Pair


@dataclass(frozen=True, slots=True)
class Corpus:
    """Files with source and target of each segment; `segments` counts those to learn from."""

    train: Path
    dev: Path
    test: Path
    segments: int


def read_corpus(folder: Path, pair: Pair) -> Corpus:
    """The files of a folder; raises `ConfigurationError` naming what is missing."""
    train, dev, test = (_part(folder, part, pair) for part in ("train", "dev", "test"))
    return Corpus(train, dev, test, sum(1 for _ in read_rows(train)))


def _part(folder: Path, part: str, pair: Pair) -> Path:
    found = sorted(_candidates(folder, part, pair))
    if not found:
        raise ConfigurationError(
            f"{folder} has no {part} corpus: it should have train, dev and test, e.g. {part}.{'-'.join(pair)}.tsv"
        )
    return found[0].absolute()


def _candidates(folder: Path, part: str, pair: Pair) -> Iterator[Path]:
    # The second as `dragoman corpus export` names it.
    for name in (f"{part}.{'-'.join(pair)}.tsv", f"{part}.correction.{'-'.join(pair)}.tsv", f"{part}.tsv"):
        yield from folder.glob(f"{name}*")
