"""Each arithmetic of the engine beside the reference: the same tokens, or at least the same quality.

    DRAGOMAN_CORPORA=FOLDER .venv/bin/python benchmarks/engine_quality.py [--json FILE] [--segments N] [--beam-size K]
        [--checkpoint NAME ...] [--arithmetic ENGINE/PRECISION ...]

Translates Tatoeba's development sets, every direction of each shipped checkpoint, by the reference (plain PyTorch) and
by the engines. `same-...`: share of segments with the same translation, piece for piece. `score-...`: the largest
difference between the scores of the same translation. `bleu-...` and `chrf-...`: the largest difference over the
directions, without its sign. Of a checkpoint that has a shortlist also `...-shortlist-...`: an engine with it beside
the reference with it; `...-shortened-...`: the reference with it beside the reference without; and `coverage`: the
share of pieces in the first references that the shortlist of their source allows.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from dragoman.benchmarks._prerequisites import corpus
from dragoman.benchmarks._table import Row, figure, show
from dragoman.model.decoding import SearchOptions
from dragoman.model.engine.choosing import EngineName, Precision
from dragoman.model.evaluation.scores import Quality, score
from dragoman.model.evaluation.test_set import TestSet, read_direction
from dragoman.model.shipped import find_checkpoint, shipped_checkpoints
from dragoman.model.translator import Translation, Translator
from dragoman.model.vocabularies.vocabulary import END

# What the torch engine computes on a CPU is what it computes on CUDA, but for the kernels.
ARITHMETICS: dict[str, tuple[EngineName, Precision]] = {
    "native/float32": ("native", "float32"),
    "native/int8": ("native", "int8"),
    "native/int8-exact": ("native", "int8-exact"),
    "torch/float32": ("torch", "float32"),
    "torch/bfloat16": ("torch", "bfloat16"),
}


@dataclass(frozen=True, slots=True)
class Direction:
    """A test set of one language pair, and what the reference made of it."""

    pair: tuple[str, str]
    test_set: TestSet
    translations: tuple[Translation, ...]
    quality: Quality


@dataclass(frozen=True, slots=True)
class Run:
    """What one engine made of all directions, in their order."""

    translations: tuple[tuple[Translation, ...], ...]
    qualities: tuple[Quality, ...]


def test_sets(pairs: tuple[tuple[str, str], ...], segments: int) -> Iterator[tuple[tuple[str, str], TestSet]]:
    """Tatoeba's development sets of these pairs, cut to so many segments."""
    for source, target in pairs:
        other = target if source == "en" else source
        whole = read_direction(corpus(f"tatoeba/dev.en-{other}.tsv.gz"), source, target)
        yield (source, target), whole.sample(segments, 1)


def by_reference(translator: Translator, name: str, segments: int, search: SearchOptions) -> list[Direction]:
    """The directions of a checkpoint, so many segments of each, through plain PyTorch."""
    found = []
    for pair, test_set in test_sets(translator.pairs, segments):
        start = time.perf_counter()
        translations = translator.translate(test_set.sources, search, target=pair[1])
        quality = score([translation.text for translation in translations], test_set.references)
        found.append(Direction(pair, test_set, tuple(translations), quality))
        print(f"{name} {'-'.join(pair)}: {quality}, {time.perf_counter() - start:.0f} s", flush=True)
    return found


def by_engine(
    folder: Path, how: tuple[EngineName, Precision], directions: list[Direction], search: SearchOptions
) -> Run:
    """The same through an engine."""
    translator = Translator.load(folder, "cpu", *how)
    translations = tuple(
        tuple(translator.translate(direction.test_set.sources, search, target=direction.pair[1]))
        for direction in directions
    )
    translator.close()
    qualities = tuple(
        score([translation.text for translation in found], direction.test_set.references)
        for found, direction in zip(translations, directions, strict=True)
    )
    return Run(translations, qualities)


def compared(name: str, directions: list[Direction], run: Run, goal: str) -> list[Row]:
    """How near a run is to the reference."""
    pairs = [
        (own, other)
        for found, direction in zip(run.translations, directions, strict=True)
        for own, other in zip(found, direction.translations, strict=True)
    ]
    same = [(own, other) for own, other in pairs if own.text == other.text and own.target_pieces == other.target_pieces]
    furthest = max((abs(own.score - other.score) for own, other in same), default=0.0)
    rows = [
        figure(f"same-{name}", len(same) / len(pairs), (f"of {len(pairs):,} segments", goal)),
        figure(f"score-{name}", furthest, ("log-probability a piece, at most", "printed")),
    ]
    for metric in ("bleu", "chrf"):
        apart = [
            abs(getattr(own, metric) - getattr(direction.quality, metric))
            for own, direction in zip(run.qualities, directions, strict=True)
        ]
        rows.append(figure(f"{metric}-{name}", max(apart), ("points", "<= 0.3")))
    return rows


def coverage(translator: Translator, directions: list[Direction]) -> float:
    """The share of pieces in the first references that the shortlists of their sources allow."""
    shortlist = translator.checkpoint.shortlist
    allowed = pieces = 0
    for direction in directions:
        sources = translator.encode(direction.test_set.sources, direction.pair[1])
        references = translator.checkpoint.vocabulary.encode_target([row[0] for row in direction.test_set.references])
        for row, reference in zip(sources, references, strict=True):
            candidates = set(shortlist.candidates(row).tolist()) if shortlist else set()
            allowed += sum(piece in candidates for piece in reference if piece != END)
            pieces += len([piece for piece in reference if piece != END])
    return allowed / pieces


def measured(folder: Path, options: argparse.Namespace) -> list[Row]:
    """All rows of one checkpoint."""
    whole = SearchOptions(beam_size=options.beam_size)
    translator = Translator.load(folder, "cpu", "reference")
    directions = by_reference(translator, folder.name, options.segments, whole)
    rows = of_engines(folder, directions, whole, options)
    if translator.checkpoint.shortlist is not None:
        short = replace(whole, vocabulary="shortlist")
        shortened = by_reference(translator, folder.name, options.segments, short)
        rows += of_engines(folder, shortened, short, options)
        run = Run(tuple(one.translations for one in shortened), tuple(one.quality for one in shortened))
        rows += compared(f"shortened-{folder.name}", directions, run, "printed")
        rows.append(figure(f"coverage-{folder.name}", coverage(translator, directions), ("of the pieces", "printed")))
    return rows


def of_engines(
    folder: Path, directions: list[Direction], search: SearchOptions, options: argparse.Namespace
) -> list[Row]:
    """How near each engine is to the reference, both with the same options."""
    rows = []
    for arithmetic in [ARITHMETICS[name] for name in options.arithmetic or ARITHMETICS]:
        goal = "1" if arithmetic[1] == "float32" else "printed"
        run = by_engine(folder, arithmetic, directions, search)
        told = [*arithmetic, *(["shortlist"] if search.vocabulary == "shortlist" else []), folder.name]
        rows += compared("-".join(told), directions, run, goal)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--segments", type=int, default=5_000, help="of a direction, at most")
    parser.add_argument("--beam-size", type=int, default=1)
    parser.add_argument("--arithmetic", choices=ARITHMETICS, action="append", help="default: all of them")
    parser.add_argument("--checkpoint", type=find_checkpoint, action="append", help="default: every shipped one")
    options = parser.parse_args()
    rows = [row for folder in options.checkpoint or shipped_checkpoints() for row in measured(folder, options)]
    show(rows, options.json)


if __name__ == "__main__":
    main()
