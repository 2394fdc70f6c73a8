"""`dragoman translate`: standard input to standard output, line by line, without Kafka."""

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from ..errors import ConfigurationError
from ..model.batching import BatchLimits
from ..model.decoding import SearchOptions
from ..model.shipped import default_checkpoint
from ..model.translator import Translator
from ..settings import load_settings

# Lines translated together: many enough to sort by length, few enough that output starts soon.
CHUNK_LINES = 2_000


@click.command()
@click.option("-s", "--source", required=True, help="Source language, e.g. en.")
@click.option("-t", "--target", required=True, help="Target language, e.g. fr.")
@click.option("--model", type=click.Path(path_type=Path), help="Checkpoint folder. Default: the shipped model.")
@click.option("--device", default=None, help="cpu, cuda:N or auto.")
@click.option("--beam-size", type=click.IntRange(1, 64), default=None, help="1 is greedy search.")
def translate(source: str, target: str, model: Path | None, device: str | None, beam_size: int | None) -> None:
    """Translate standard input to standard output: one line out for each line in, in order.

    A line that is too long for the model gives an empty line, a message on standard error and exit code 1.
    """
    settings = load_settings()
    translator = Translator.load(model or settings.checkpoint or default_checkpoint(), device or settings.device)
    if (source, target) not in translator.pairs:
        known = ", ".join(f"{s}-{t}" for s, t in translator.pairs)
        raise ConfigurationError(f"the model {translator.version} does not translate {source}-{target}, only {known}")
    limits = BatchLimits(settings.batch_token_budget, settings.batch_rows)
    options = SearchOptions(beam_size=beam_size or settings.beam_size)
    refused = 0
    for first_line, lines in _chunks():
        refused += _translate_lines(translator, (first_line, lines), options, limits)
    if refused:
        raise ConfigurationError(
            f"lines too long for the model, empty in the output: {refused}; split them into sentences"
        )


def _translate_lines(
    translator: Translator, chunk: tuple[int, list[str]], options: SearchOptions, limits: BatchLimits
) -> int:
    first_line, lines = chunk
    results = [""] * len(lines)
    fit, refused = [], 0
    for place, (line, pieces) in enumerate(zip(lines, translator.encode(lines), strict=True)):
        if len(pieces) > translator.max_source_pieces:
            refused += 1
            click.echo(
                f"line {first_line + place}: {len(pieces)} pieces, the model takes {translator.max_source_pieces}",
                err=True,
            )
        elif line.strip():
            fit.append(place)
    for place, result in zip(fit, translator.translate([lines[i] for i in fit], options, limits), strict=True):
        results[place] = result.text
    sys.stdout.buffer.write("".join(f"{text}\n" for text in results).encode())
    sys.stdout.buffer.flush()
    return refused


def _chunks() -> Iterator[tuple[int, list[str]]]:
    """(Number of the first line, lines) of standard input; only a line feed ends a line."""
    lines = enumerate(sys.stdin.buffer, 1)
    while chunk := list(itertools.islice(lines, CHUNK_LINES)):
        yield chunk[0][0], [_decoded(number, line) for number, line in chunk]


def _decoded(number: int, line: bytes) -> str:
    try:
        return line.decode().removesuffix("\n")
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"line {number} of standard input is not UTF-8: convert it first") from error
