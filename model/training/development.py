"""The development sets of a run and how well the network does on them. Knows translators and scores."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import ConfigurationError
from ..decoding import SearchOptions
from ..evaluation.scores import TestSet, evaluate, read_test_set
from ..translator import Translator
from .config import TrainConfig, resolve

# While a run goes on, greedy search is enough to see where it goes; its end is measured as translations are made.
WATCHING, FINAL = SearchOptions(beam_size=1), SearchOptions(beam_size=4)
# The sample is the same in every evaluation of every run, so that scores can be compared.
SAMPLE_SEED = 1


@dataclass(frozen=True, slots=True)
class DevQuality:
    """Scores of one development set in one direction, 0 to 100, with sacrebleu's signatures."""

    name: str
    segments: int
    beam_size: int
    bleu: float
    chrf: float
    bleu_signature: str
    chrf_signature: str


@dataclass(frozen=True, slots=True)
class DevSet:
    """One development set in one direction."""

    name: str
    source: str
    target: str
    content: TestSet


def read_dev_sets(config: TrainConfig, folder: Path) -> list[DevSet]:
    """Every development set in every direction that it serves, in the order of `pairs`."""
    return [
        DevSet(
            f"{source}-{target} {short_name(file.path)}",
            source,
            target,
            read_test_set(resolve(file.path, folder), (file.languages.index(source), file.languages.index(target))),
        )
        for source, target in config.directions
        for file in config.data.dev
        if file.serves(source, target)
    ]


def check_dev_sets(translator: Translator, dev_sets: Sequence[DevSet]) -> None:
    """Refuse development sets that the network could not translate at the end; names the file and its line."""
    for dev in dev_sets:
        for line, pieces in enumerate(translator.encode(dev.content.sources, dev.target), 1):
            if len(pieces) > translator.max_source_pieces:
                raise ConfigurationError(
                    f"the development set {dev.name}, line {line}: the source has {len(pieces)} pieces, the model "
                    f"takes {translator.max_source_pieces}: split it into sentences, or leave it out"
                )


def sampled(dev_sets: Sequence[DevSet], segments: int) -> list[DevSet]:
    """At most `segments` of each set, at random: files are often sorted by length."""
    return [DevSet(dev.name, dev.source, dev.target, dev.content.sample(segments, SAMPLE_SEED)) for dev in dev_sets]


def measured(translator: Translator, dev_sets: Sequence[DevSet], options: SearchOptions) -> tuple[DevQuality, ...]:
    """Translate and score every set."""
    return tuple(_measured(translator, dev, options) for dev in dev_sets)


def mean_chrf(qualities: Sequence[DevQuality]) -> float:
    """The one number that early stopping looks at."""
    return sum(quality.chrf for quality in qualities) / len(qualities)


def short_name(path: str) -> str:
    """The last folder and the file name: where on a disk a corpus was is nobody's business."""
    return "/".join(path.rsplit("/", 2)[-2:])


def _measured(translator: Translator, dev: DevSet, options: SearchOptions) -> DevQuality:
    quality = evaluate(translator, dev.content, options, target=dev.target)
    return DevQuality(
        dev.name,
        len(dev.content.sources),
        options.beam_size,
        quality.bleu,
        quality.chrf,
        quality.bleu_signature,
        quality.chrf_signature,
    )
