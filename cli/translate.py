"""`dragoman translate`: standard input to standard output, line by line, without Kafka."""

import itertools
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import click

from ..errors import ConfigurationError
from ..model.batching import BatchLimits
from ..model.decoding import SearchOptions
from ..model.engine.choosing import EngineName, Precision
from ..model.shipped import shipped_for
from ..model.translator import Translation, Translator
from ..settings import load_settings
from .loading import load_translator
from .translate_options import decoding_options, search_options
from .translate_output import Format, output_format, write_out

# Lines translated together: many enough to sort by length, few enough that output starts soon.
CHUNK_LINES = 2_000


@dataclass(frozen=True, slots=True)
class _Request:
    """How every chunk is translated and written."""

    target: str
    search: SearchOptions
    limits: BatchLimits
    write: Format


@click.command()
@click.option("-s", "--source", required=True, help="Source language, e.g. en.")
@click.option("-t", "--target", required=True, help="Target language, e.g. fr.")
@click.option("--model", type=click.Path(path_type=Path), help="Folder or shipped name. Default: by the pair.")
@click.option("--device", default=None, help="cpu, cuda:N or auto.")
@click.option("--engine", type=click.Choice(get_args(EngineName)), default=None, help="What runs the model.")
@click.option("--precision", type=click.Choice(get_args(Precision)), default=None, help="Arithmetic of the engine.")
@decoding_options
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object a line.")
def translate(source: str, target: str, model: Path | None, as_json: bool, **chosen: Any) -> None:
    """Translate standard input to standard output: one line out for each line in, in order.

    With --n-best N, N lines come out for each line in, each a score, a tab and a translation, the best first; fewer
    where the search found fewer. With --alignment, a tab and Pharaoh pairs SOURCE-TARGET of pieces, counted from 0,
    follow each translation.
    A line that is too long for the model gives an empty line, a message on standard error and exit code 1.
    """
    settings = load_settings()
    options = search_options(settings.beam_size, chosen)
    folder = model or _first(settings.checkpoint) or shipped_for(source, target)
    translator = load_translator(folder, chosen["device"], chosen["engine"], chosen["precision"])
    translator.require_pair(source, target)
    request = _Request(
        target,
        translator.with_prefix(options, chosen["prefix"]),
        BatchLimits(settings.batch_token_budget, settings.batch_rows),
        output_format(options, as_json=as_json),
    )
    refused = sum(_translate_lines(translator, chunk, request) for chunk in _chunks())
    if refused:
        raise ConfigurationError(
            f"lines too long for the model, empty in the output: {refused}; split them into sentences"
        )


def _translate_lines(translator: Translator, chunk: tuple[int, list[str]], request: _Request) -> int:
    first_line, lines = chunk
    results: list[Translation | None] = [None] * len(lines)
    fit, refused = [], 0
    for place, (line, pieces) in enumerate(zip(lines, translator.encode(lines, request.target), strict=True)):
        if len(pieces) > translator.max_source_pieces:
            refused += 1
            click.echo(
                f"line {first_line + place}: {len(pieces)} pieces, the model takes {translator.max_source_pieces}",
                err=True,
            )
        elif line.strip():
            fit.append(place)
    found = translator.translate([lines[i] for i in fit], request.search, request.limits, request.target)
    for place, result in zip(fit, found, strict=True):
        results[place] = result
    written = [request.write(first_line + place, result) for place, result in enumerate(results)]
    write_out("".join(f"{line}\n" for line in written))
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


def _first(checkpoints: str) -> Path | None:
    """The first of a worker's models, if any are set."""
    return Path(checkpoints.split(",")[0].strip()) if checkpoints else None
