"""`dragoman back-translate CHECKPOINT MONOLINGUAL OUT.tsv.gz`: a parallel corpus out of monolingual text."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from ..errors import ConfigurationError
from ..model.batching import BatchLimits
from ..model.decoding import Sampling, SearchOptions
from ..model.synthesis.back_translation import BackTranslation, Side, back_translate
from ..model.synthesis.chunk_translation import ChunkTranslation, SynthesisOptions, chunks_of
from .loading import load_translator
from .synthesis_display import SynthesisDisplay, counts_line

INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asked for."""

    checkpoint: Path
    monolingual: Path
    output: Path
    source: str
    target: str
    columns: str | None
    tag: str
    beam_size: int
    min_score: float | None
    sampling: bool
    temperature: float
    top_k: int
    top_p: float
    seed: int
    device: str | None
    batch_tokens: int | None

    @property
    def options(self) -> SynthesisOptions:
        """How to translate."""
        limits = BatchLimits(self.batch_tokens, rows=self.batch_tokens) if self.batch_tokens else None
        if not self.sampling:
            return SynthesisOptions(SearchOptions(beam_size=self.beam_size), limits, min_score=self.min_score)
        sampling = Sampling(temperature=self.temperature, top_k=self.top_k, top_p=self.top_p, seed=self.seed)
        return SynthesisOptions(SearchOptions(beam_size=1, sampling=sampling), limits, min_score=self.min_score)

    @property
    def task(self) -> BackTranslation:
        """What to translate; raises `ConfigurationError` for columns that are not the two languages."""
        orders: dict[str, Side] = {f"{self.target}-{self.source}": "synthetic", f"{self.source}-{self.target}": "real"}
        columns = self.columns or f"{self.target}-{self.source}"
        if columns not in orders:
            raise ConfigurationError(f"the columns can be {' or '.join(orders)}, not {columns}")
        return BackTranslation(self.monolingual, self.source, self.target, orders[columns], self.tag)


@click.command(name="back-translate")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.argument("monolingual", type=click.Path(path_type=Path))
@click.argument("output", metavar="OUT.tsv.gz", type=click.Path(path_type=Path))
@click.option("-s", "--source", required=True, help="Language of MONOLINGUAL, which CHECKPOINT translates from.")
@click.option("-t", "--target", required=True, help="Language that CHECKPOINT writes: the new, synthetic side.")
@click.option(
    "--columns", help="Languages of the new corpus's columns, e.g. en-fr.  [default: the synthetic one first]"
)
@click.option("--tag", default="", help="Put before every synthetic text (tagged back-translation), e.g. '<BT>'.")
@click.option("--beam-size", type=click.IntRange(1, 64), default=4, show_default=True, help="1 is greedy search.")
@click.option("--min-score", type=float, help="Leave out translations with a lower score, such as -0.5.")
@click.option("--sampling", is_flag=True, help="Draw translations at random instead: more diverse sources.")
@click.option("--temperature", type=click.FloatRange(0, min_open=True), default=1.0, show_default=True)
@click.option(
    "--top-k", type=click.IntRange(0), default=0, show_default=True, help="Draw among so many pieces; 0: all."
)
@click.option("--top-p", type=click.FloatRange(0, 1, min_open=True), default=1.0, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True, help="Which translations --sampling draws.")
@click.option("--device", help="cpu, cuda:N or auto.")
@click.option("--batch-tokens", type=click.IntRange(16), help="Padded source tokens of a batch.")
def back_translate_command(**options: Any) -> None:
    """Translate MONOLINGUAL, a segment a line (.gz and .xz too), by CHECKPOINT into a corpus OUT.tsv.gz.

    With a model from French to English, French text becomes an English-French corpus with synthetic English, for a
    model from English to French to learn from. Columns: both texts and the score. Lines that repeat or are too long
    for the model are left out and counted. Ctrl-C keeps what is finished; the same command goes on with it.
    """
    request = Request(**options)
    _check_output(request.output)
    task = request.task
    translator = load_translator(request.checkpoint, request.device)
    translation = ChunkTranslation(translator, request.options, SynthesisDisplay().show)
    try:
        counts = back_translate(task, request.output, translation)
    except KeyboardInterrupt:
        folder = chunks_of(request.output)
        click.echo(f"\ninterrupted; what is finished is kept in {folder}: run the same command to go on", err=True)
        raise SystemExit(INTERRUPTED) from None
    click.echo(counts_line(counts))
    click.echo(f"wrote {request.output}")


def _check_output(output: Path) -> None:
    if not output.name.endswith(".tsv.gz"):
        raise ConfigurationError(f"{output} must end in .tsv.gz: it becomes a compressed corpus file")
    if output.exists() and not chunks_of(output).exists():
        raise ConfigurationError(f"{output} exists already: remove it, or name another file")
