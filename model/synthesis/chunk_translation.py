"""Translates any number of texts chunk by chunk into a folder that can be gone on with. Knows no corpora.

What sequence-level distillation and back-translation share: a long stream of texts through one model.
"""

import hashlib
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from ..batching import BatchLimits
from ..decoding import SearchOptions
from ..translator import Translation, Translator
from .chunk_folder import ChunkFolder

Item = TypeVar("Item")

# Reports while a chunk is translated, about; segments of like length go together.
PARTS = 20
CPU_LIMITS, GPU_LIMITS = BatchLimits(4096, rows=128), BatchLimits(32_768, rows=1024)
# What an interruption loses at most; enough to fill batches of like length.
CPU_CHUNK, GPU_CHUNK = 1_000, 20_000

# Turns a source and its translation into the columns of the corpus file.
Columns = Callable[[str, Translation], Sequence[str]]


@dataclass(frozen=True, slots=True)
class SynthesisReport:
    """Where a job stands: texts done of all, `translated` of them since the command began, and in how many seconds."""

    name: str
    done: int
    total: int
    translated: int
    seconds: float

    @property
    def segments_per_second(self) -> float:
        return self.translated / self.seconds if self.seconds else 0.0

    @property
    def seconds_left(self) -> float | None:
        """How long the job will go on if it goes on like this; None before it can be told."""
        speed = self.segments_per_second
        return (self.total - self.done) / speed if speed else None


Listener = Callable[[SynthesisReport], None]


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be translated to `target`, each text once: `texts` begins the same stream anew with every call."""

    name: str
    target: str
    texts: Callable[[], Iterator[str]]
    columns: Columns


@dataclass(frozen=True, slots=True)
class SynthesisOptions:
    """How it is translated, and in chunks of how many segments; what is None suits the device.

    Translations whose score is below `min_score` are left out (None: none is): the model was not sure of them.
    """

    search: SearchOptions = field(default_factory=SearchOptions)
    limits: BatchLimits | None = None
    chunk_segments: int | None = None
    min_score: float | None = None


class ChunkTranslation:
    """One model that translates stream after stream, each into the file and folder of its own."""

    def __init__(self, translator: Translator, options: SynthesisOptions, listener: Listener) -> None:
        on_gpu = translator.device.type == "cuda"
        self.translator = translator
        self.search = options.search
        self._limits = options.limits or (GPU_LIMITS if on_gpu else CPU_LIMITS)
        self._chunk_segments = options.chunk_segments or (GPU_CHUNK if on_gpu else CPU_CHUNK)
        self._min_score = options.min_score
        self._listener = listener

    def run(self, work: Work, output: Path, identity: dict[str, str]) -> ChunkFolder:
        """Translate what is not yet translated and make `output` of it; returns the folder, which has the counts.

        The chunks lie in a folder beside `output`. Raises `ConfigurationError` if they belong to another job.
        """
        identity = {"model": self.translator.version, "search": repr(self.search), **identity}
        if self._min_score is not None:
            identity["least score"] = repr(self._min_score)
        folder = ChunkFolder(chunks_of(output), identity, self._chunk_segments)
        if not folder.is_joined(output):
            self._translate(work, folder)
            folder.join(output)
        return folder

    def _translate(self, work: Work, folder: ChunkFolder) -> None:
        repeats: Counter[str] = Counter()
        progress = _Progress(self._listener, work.name, total=sum(1 for _ in _distinct(work.texts(), repeats)))
        for number, texts in enumerate(_chunks(_distinct(work.texts(), Counter()), folder.chunk_segments)):
            if folder.has(number):
                progress.skip(len(texts))
                continue
            found, too_long = self._translations(texts, work.target, progress)
            said = [place for place in sorted(found) if found[place].text]
            sure = [place for place in said if self._min_score is None or found[place].score >= self._min_score]
            rows = [work.columns(texts[place], found[place]) for place in sure]
            counts = {"kept": len(rows), "too long": too_long, "empty": len(found) - len(said)}
            counts["unsure"] = len(said) - len(sure)
            # Repeats are of the whole job: the first chunk tells of them.
            folder.add(number, rows, counts if number else counts | repeats)

    def _translations(
        self, texts: Sequence[str], target: str, progress: "_Progress"
    ) -> tuple[dict[int, Translation], int]:
        """Translations by place, and how many texts are too long for the model."""
        lengths = [len(pieces) for pieces in self.translator.encode(texts, target)]
        fitting = [place for place, length in enumerate(lengths) if length <= self.translator.max_source_pieces]
        fitting.sort(key=lambda place: lengths[place])
        progress.skip(len(texts) - len(fitting))
        found: dict[int, Translation] = {}
        for part in _chunks(fitting, max(1, -(-len(fitting) // PARTS))):
            translations = self.translator.translate([texts[i] for i in part], self.search, self._limits, target=target)
            found |= zip(part, translations, strict=True)
            progress.add(len(part))
        return found, len(texts) - len(fitting)


class _Progress:
    """Counts and tells."""

    def __init__(self, listener: Listener, name: str, total: int) -> None:
        self._listener = listener
        self._report = SynthesisReport(name, 0, total, 0, 0.0)
        self._started = time.monotonic()

    def skip(self, texts: int) -> None:
        """Count texts that are done without having been translated now."""
        self._report = replace(self._report, done=self._report.done + texts)

    def add(self, texts: int) -> None:
        self._report = replace(
            self._report,
            done=self._report.done + texts,
            translated=self._report.translated + texts,
            seconds=time.monotonic() - self._started,
        )
        self._listener(self._report)


def chunks_of(output: Path) -> Path:
    """The folder of the chunks that become `output`."""
    return output.with_name(output.name + ".chunks")


def _distinct(texts: Iterable[str], repeats: Counter[str]) -> Iterator[str]:
    """Every text once, at its first place, the others counted; 8 bytes of hash a text stay in memory."""
    seen: set[bytes] = set()
    for text in texts:
        key = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        if key in seen:
            repeats["repeated"] += 1
        else:
            seen.add(key)
            yield text


def _chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    stream = iter(items)
    while chunk := list(itertools.islice(stream, size)):
        yield chunk
