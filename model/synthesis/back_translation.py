"""Back-translation: monolingual text becomes the target side of a corpus, a reverse model writes the sources.

Sennrich, Haddow and Birch 2016, arXiv:1511.06709; sampled sources: Edunov et al. 2018, arXiv:1808.09381; tagged
sources: Caswell, Chelba and Grangier 2019, arXiv:1906.06442.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ...errors import ConfigurationError
from ..corpora.lines import read_lines
from ..translator import Translation
from .chunk_translation import ChunkTranslation, Work

# Of the new corpus: what the reverse model wrote, or what was there.
Side = Literal["synthetic", "real"]


@dataclass(frozen=True, slots=True)
class BackTranslation:
    """Text in language `source` of the reverse model, which writes language `target`.

    `columns` says which side stands first in the new corpus: the synthetic one, as a model that is to learn from it
    reads them, or the real one. `tag` is put before every synthetic text.
    """

    monolingual: Path
    source: str
    target: str
    first_column: Side = "synthetic"
    tag: str = ""

    def columns(self, real: str, translation: Translation) -> tuple[str, ...]:
        """The row of one segment: both texts, and the score of the reverse model."""
        synthetic = f"{self.tag} {translation.text}" if self.tag else translation.text
        texts = (synthetic, real) if self.first_column == "synthetic" else (real, synthetic)
        return (*texts, f"{translation.score:.4f}")


def back_translate(task: BackTranslation, output: Path, translation: ChunkTranslation) -> Counter[str]:
    """Write the corpus `output`; returns how many segments were kept and how many left out, and why.

    Empty lines are passed over, repeated ones left out. Raises `ConfigurationError` for text that is empty or cannot
    be read.
    """
    translation.translator.require_pair(task.source, task.target)
    if next(read_lines(task.monolingual), None) is None:
        raise ConfigurationError(f"{task.monolingual} is empty: there is nothing to translate")

    def texts() -> Iterator[str]:
        return read_lines(task.monolingual)

    identity = {
        "text": _sha256(task.monolingual),
        "columns": f"{task.first_column} text first",
        "tag": task.tag,
        "target": task.target,
    }
    name = f"{task.monolingual.name} {task.source}-{task.target}"
    folder = translation.run(Work(name, task.target, texts, task.columns), output, identity)
    folder.remove()
    return folder.counts


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
