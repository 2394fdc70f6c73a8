"""`dragoman models shortlist`: learns from parallel text which pieces a checkpoint's translations may be made of."""

from dataclasses import replace
from pathlib import Path

import click
import torch

from ..errors import ConfigurationError
from ..model.checkpoint import Checkpoint, check_replaceable, load_checkpoint, save_checkpoint
from ..model.corpora.corpus_file import CorpusFile
from ..model.corpora.stream import PairStream
from ..model.evaluation.test_set import named_languages
from ..model.summary import summarise
from ..model.training.shortlisting import ShortlistOptions, learn_shortlist
from .models_show import CheckpointFolder


@click.command()
@click.argument("checkpoint", type=CheckpointFolder())
@click.argument("corpora", metavar="CORPUS...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--best", type=click.IntRange(1), default=50, show_default=True, help="Likeliest pieces of each source piece."
)
@click.option(
    "--frequent", type=click.IntRange(0), default=100, show_default=True, help="Frequent pieces, always allowed."
)
@click.option(
    "--languages", help="Of the columns, e.g. en-fr. Default: by a file's name, or the checkpoint's only pair."
)
@click.option("--output", type=click.Path(path_type=Path), help="Another folder for it. Default: in its place.")
def shortlist(
    checkpoint: Path, corpora: tuple[Path, ...], best: int, frequent: int, languages: str | None, output: Path | None
) -> None:
    """Learn a shortlist from each CORPUS of parallel text and write it into CHECKPOINT, in the place of an older one.

    A corpus file is one that `dragoman train` reads, such as train.en-fr.tsv.gz; it serves both directions. The
    weights stay as they are; the folder is replaced as a whole or not at all.
    """
    folder = output or checkpoint
    check_replaceable(folder)
    loaded = load_checkpoint(checkpoint, torch.device("cpu"))
    learned = learn_shortlist(_stream(loaded, corpora, languages), loaded.vocabulary, ShortlistOptions(best, frequent))
    save_checkpoint(replace(loaded, shortlist=learned), folder, summarise(checkpoint).config.storage)
    after = summarise(folder)
    click.echo(
        f"{loaded.version} -> {after.version} in {folder}: {len(learned.pieces):,} likely pieces for "
        f"{len(learned.starts) - 1:,} source pieces, {len(learned.frequent):,} frequent ones"
    )


def _stream(checkpoint: Checkpoint, corpora: tuple[Path, ...], languages: str | None) -> PairStream:
    files = [CorpusFile(path, _columns(checkpoint, path, languages)) for path in corpora]
    unserved = [pair for pair in checkpoint.pairs if not any(any(file.serves([pair])) for file in files)]
    if unserved:
        raise ConfigurationError(
            f"{checkpoint.version} translates {', '.join(map('-'.join, unserved))} too, and no corpus has these "
            "languages: name one for each pair, or its translations would lack their pieces"
        )
    return PairStream(files, checkpoint.pairs)


def _columns(checkpoint: Checkpoint, path: Path, languages: str | None) -> tuple[str, str]:
    named = tuple(languages.split("-")) if languages else named_languages(path)
    if not named and len(checkpoint.pairs) == 1:
        return checkpoint.pairs[0]
    if len(named) != 2:
        raise ConfigurationError(f"which languages do the columns of {path} have? Name them: --languages en-fr")
    return named[0], named[1]
