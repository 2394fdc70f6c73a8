"""`dragoman models export-ctranslate2`: a checkpoint for another engine."""

from pathlib import Path
from typing import get_args

import click
import torch

from ..model.checkpoint import load_checkpoint
from ..model.interchange import ctranslate2


@click.command("export-ctranslate2")
@click.argument("folder", metavar="FOLDER", type=click.Path(path_type=Path))
@click.argument("output", metavar="OUT", type=click.Path(path_type=Path))
@click.option(
    "--quantization",
    type=click.Choice(get_args(ctranslate2.Quantization)),
    default="float32",
    show_default=True,
    help="How the weights are stored.",
)
def export_ctranslate2(folder: Path, output: Path, quantization: ctranslate2.Quantization) -> None:
    """Write the checkpoint in FOLDER as OUT, a model of the engine CTranslate2, with the files of its vocabulary."""
    checkpoint = load_checkpoint(folder, torch.device("cpu"))
    ctranslate2.export_ctranslate2(checkpoint, output, quantization)
    click.echo(f"{output}: {checkpoint.version} as {quantization} for CTranslate2")
