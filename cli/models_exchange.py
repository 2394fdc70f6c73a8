"""`dragoman models import-marian`: a checkpoint from another engine's model."""

from pathlib import Path
from typing import get_args

import click

from ..errors import ConfigurationError
from ..model.checkpoint import check_replaceable, save_checkpoint
from ..model.interchange import marian
from ..model.weights import Storage


@click.command("import-marian")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.argument("output", metavar="OUT", type=click.Path(path_type=Path))
@click.option("--pairs", multiple=True, help="Languages it translates, e.g. en-fr or en-fr,en-es. Default: it says so.")
@click.option(
    "--storage",
    type=click.Choice(get_args(Storage)),
    default="float32",
    show_default=True,
    help="How weights are stored; float32 changes none of them.",
)
def import_marian(folder: Path, output: Path, pairs: tuple[str, ...], storage: Storage) -> None:
    """Make the checkpoint OUT of the Marian model in DIR, such as those of OPUS-MT.

    DIR is a folder in Hugging Face form (config.json, model.safetensors or pytorch_model.bin, vocab.json), or an
    unpacked archive in Marian's own (*.npz, *.vocab.yml; name its languages by --pairs); both with source.spm and
    target.spm.

    Then: dragoman translate -s en -t fr --model OUT
    """
    check_replaceable(output)
    checkpoint = marian.import_marian(folder, _parsed(pairs))
    save_checkpoint(checkpoint, output, storage)
    translated = ", ".join(f"{source}-{target}" for source, target in checkpoint.pairs)
    click.echo(f"{output}: {checkpoint.name}, translates {translated}")


def _parsed(pairs: tuple[str, ...]) -> marian.Pairs:
    parsed = []
    for pair in (pair for option in pairs for pair in option.split(",")):
        source, dash, target = pair.strip().partition("-")
        if not (source and dash and target):
            raise ConfigurationError(f"{pair!r} is no pair of languages: write en-fr")
        parsed.append((source, target))
    return tuple(parsed)
