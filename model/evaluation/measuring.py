"""Runs a translator over a test set and keeps what is worth knowing: translations, scores, speed, padding.

Knows one translator and one test set; comparing two and writing reports is done elsewhere.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import torch

from ..batching import BatchLimits
from ..decoding import SearchOptions
from ..translator import Translation, Translator
from .scores import Quality, TestSet, score

# Source pieces at which a new length bucket begins.
BUCKET_STARTS = (1, 6, 11, 21, 31, 51)

# Many enough rows for the processor, few enough for any memory.
DEFAULT_LIMITS = BatchLimits(tokens=4096, rows=128)

# Called with the segments translated so far and all there are.
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class MeasuringOptions:
    """How the test set is translated."""

    search: SearchOptions = field(default_factory=SearchOptions)
    limits: BatchLimits = DEFAULT_LIMITS


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast a test set was translated, and on what; text to pieces and back included, loading not."""

    seconds: float
    segments: int
    target_pieces: int
    padding_ratio: float
    device: str
    threads: int

    @property
    def segments_per_second(self) -> float:
        return self.segments / self.seconds if self.seconds else 0.0

    @property
    def target_pieces_per_second(self) -> float:
        return self.target_pieces / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one translator did with a test set; a segment too long for it counts with an empty translation."""

    version: str
    translations: tuple[str, ...]
    source_pieces: tuple[int, ...]
    too_long: int
    quality: Quality
    speed: Speed


@dataclass(frozen=True, slots=True)
class Bucket:
    """The segments of `first` to `last` source pieces (None: no end), and how well they went."""

    first: int
    last: int | None
    segments: int
    quality: Quality

    @property
    def name(self) -> str:
        return f"{self.first}-{self.last}" if self.last else f"{self.first} or more"


def measure(
    translator: Translator, test_set: TestSet, target: str, options: MeasuringOptions, progress: Progress
) -> Measurement:
    """Translate a test set to `target` in batches of like length, and score it."""
    started = time.perf_counter()
    sources = translator.encode(test_set.sources, target)
    lengths = tuple(map(len, sources))
    fitting = [place for place, length in enumerate(lengths) if length <= translator.max_source_pieces]
    fitting_sources = [sources[place] for place in fitting]
    results: dict[int, Translation] = {}
    for number, translation in translator.translated(fitting_sources, options.search, options.limits):
        results[fitting[number]] = translation
        progress(len(results), len(fitting))
    speed = Speed(
        seconds=time.perf_counter() - started,
        segments=len(results),
        target_pieces=sum(result.target_pieces for result in results.values()),
        padding_ratio=translator.padding_ratio(fitting_sources, options.limits),
        device=_device_name(translator.device),
        threads=torch.get_num_threads(),
    )
    translations = tuple(results[place].text if place in results else "" for place in range(len(sources)))
    quality = score(translations, test_set.references)
    return Measurement(translator.version, translations, lengths, len(sources) - len(fitting), quality, speed)


def length_buckets(measurement: Measurement, test_set: TestSet) -> tuple[Bucket, ...]:
    """Scores by source length in pieces; a bucket without segments is left out."""
    edges = pairwise((*BUCKET_STARTS, None))
    found = [_bucket(first or 0, last, measurement, test_set) for first, last in edges]
    return tuple(bucket for bucket in found if bucket)


def _bucket(first: int, end: int | None, measurement: Measurement, test_set: TestSet) -> Bucket | None:
    places = [
        place
        for place, length in enumerate(measurement.source_pieces)
        if first <= max(length, 1) and (end is None or length < end)
    ]
    if not places:
        return None
    translations = [measurement.translations[place] for place in places]
    quality = score(translations, [test_set.references[place] for place in places])
    return Bucket(first, end - 1 if end else None, len(places), quality)


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
