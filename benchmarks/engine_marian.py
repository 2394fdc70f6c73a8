"""How far each arithmetic of the engines is from float32 on a network of OPUS-MT's shape.

    .venv/bin/python benchmarks/engine_marian.py [--json FILE] [--segments N] [--checkpoint NAME] [--quick]

Real OPUS-MT weights are not here: they are downloads of hundreds of megabytes. The shape is, with random weights, in
the form in which `dragoman models import` gives it. Random weights translate nothing, so there is no BLEU; what is
compared is what BLEU hangs on, the log-probability of each piece: the reference translates, and each engine says how
likely that very translation is to it. A checkpoint that was trained stands beside it, of which
`benchmarks/engine_quality.py` measures what such an error costs in BLEU.

`error-...`: mean difference of a piece's log-probability, without its sign. `spread-...`: the same as a share of the
standard deviation of log-probabilities over the vocabulary, which makes networks comparable. It says nothing of weights
with columns far larger than the others, as training may leave them.
"""

import argparse
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from dragoman.benchmarks._opus_shape import OPUS_BASE, TINY, random_checkpoint
from dragoman.benchmarks._table import Row, figure, show
from dragoman.compose.demo.demo import SENTENCES
from dragoman.model.checkpoint import Checkpoint, load_checkpoint
from dragoman.model.decoding import Hypothesis, SearchOptions
from dragoman.model.engine.choosing import choose_engine
from dragoman.model.engine.limits import EngineLimits
from dragoman.model.engine.measuring import FEWEST_PIECES, MEAN_PIECES, forced, random_source
from dragoman.model.engine.request import Request
from dragoman.model.shipped import default_checkpoint, find_checkpoint
from dragoman.model.source_side import encode_sources
from dragoman.model.translator import ReferenceSearch
from dragoman.model.vocabularies.vocabulary import BEGIN, END

# The torch engine takes the network over, precision and all: it comes last.
ARITHMETICS = (
    ("native", "float32"),
    ("native", "int8-exact"),
    ("native", "int8"),
    ("torch", "float32"),
    ("torch", "bfloat16"),
)
CPU = torch.device("cpu")
SEGMENTS_AT_ONCE = 32
Source = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Told:
    """Sources, and what the reference made of them: pieces with their log-probabilities."""

    sources: tuple[Source, ...]
    found: tuple[Hypothesis, ...]
    deviation: float


def random_sources(pieces: int, count: int) -> list[Source]:
    """Sources for a vocabulary of so many pieces."""
    numbers = random.Random(1)
    return [random_source(numbers.randint(FEWEST_PIECES, 2 * MEAN_PIECES), pieces, numbers) for _ in range(count)]


def real_sources(checkpoint: Checkpoint, count: int) -> list[Source]:
    """The demo's sentences, in pieces."""
    texts = SENTENCES.read_text(encoding="utf-8").splitlines()[:count]
    return [(*row, END) for row in encode_sources(checkpoint.vocabulary, texts, checkpoint.pairs[0][1])]


def by_reference(checkpoint: Checkpoint, sources: Sequence[Source], options: SearchOptions) -> Told:
    """Greedy search in plain PyTorch, each translation as long as its source at most."""
    search, ordered = ReferenceSearch(checkpoint.network, CPU), sorted(sources, key=len)
    found: list[Hypothesis] = []
    for first in range(0, len(ordered), SEGMENTS_AT_ONCE):
        some = ordered[first : first + SEGMENTS_AT_ONCE]
        found += [best for best, *_ in search([Request(one, options, len(one), list) for one in some])]
    return Told(tuple(ordered), tuple(found), deviation(checkpoint, ordered[: SEGMENTS_AT_ONCE // 4]))


def deviation(checkpoint: Checkpoint, sources: Sequence[Source]) -> float:
    """The standard deviation of the first step's log-probabilities over the vocabulary, a mean over sources."""
    found = []
    for source in sources:
        with torch.inference_mode():
            state = checkpoint.network.start(torch.tensor([source]))
            found.append(float(checkpoint.network.step(torch.tensor([BEGIN]), state).std()))
    return statistics.mean(found)


def errors(checkpoint: Checkpoint, how: tuple[str, str], told: Told) -> list[float]:
    """Of each piece, how far an engine's log-probability is from the reference's."""
    engine = choose_engine(checkpoint, CPU, how, EngineLimits())  # type: ignore[arg-type]
    assert engine is not None, "there is no such engine here"
    requests = [
        Request(source, replace(SearchOptions(beam_size=1), prefix=one.pieces), len(one.pieces) + 1, list)
        for source, one in zip(told.sources, told.found, strict=True)
    ]
    engine.submit(requests)
    answers = [request.future.result()[0] for request in requests]
    engine.close()
    return [
        abs(own - other)
        for answer, one in zip(answers, told.found, strict=True)
        for own, other in zip(answer.piece_scores, one.piece_scores[: len(one.pieces)], strict=False)
    ]


def measured(name: str, checkpoint: Checkpoint, told: Told) -> list[Row]:
    """The rows of one network."""
    rows = []
    for how in ARITHMETICS:
        found = errors(checkpoint, how, told)
        label, unit = f"{'-'.join(how)}-{name}", f"of {len(found):,} pieces"
        mean = statistics.mean(found)
        rows.append(figure(f"error-{label}", mean, (f"log-probability, {unit}", "printed"), (min(found), max(found))))
        rows.append(figure(f"spread-{label}", mean / told.deviation, ("standard deviations", "printed")))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--segments", type=int, default=64)
    parser.add_argument("--checkpoint", type=find_checkpoint, default=default_checkpoint(), help="the trained one")
    parser.add_argument("--quick", action="store_true", help="only see that everything runs")
    options = parser.parse_args()
    count = 4 if options.quick else options.segments
    shape = random_checkpoint(TINY if options.quick else OPUS_BASE)
    told = by_reference(shape, random_sources(len(shape.vocabulary), count), forced(1))
    rows = measured("opus-shape", shape, told)
    trained = load_checkpoint(options.checkpoint, CPU)
    told = by_reference(trained, real_sources(trained, count), SearchOptions(beam_size=1))
    rows += measured(options.checkpoint.name, trained, told)
    show(rows, options.json)


if __name__ == "__main__":
    main()
