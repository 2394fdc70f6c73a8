"""`dragoman models list`, `show`, `verify`, `convert` and `average`: what checkpoints there are and what is in them."""

import json
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import torch

from ..errors import ConfigurationError
from ..model.checkpoint import load_checkpoint, save_checkpoint
from ..model.checkpoint_config import STORAGES, Storage
from ..model.interpolation import between
from ..model.manifest import CheckpointError, read_manifest
from ..model.shipped import checkpoints_in, find_checkpoint, shipped_checkpoints
from ..model.shortlist_file import ShortlistSize
from ..model.summary import CheckpointSummary, summarise

as_json = click.option("--json", "as_json", is_flag=True, help="JSON, for programs.")
HEADINGS = ("version", "pairs", "architecture", "parameters", "storage", "size", "folder")
# Lines of the model card that `show` prints.
CARD_LINES = 12
MEGABYTE_BYTES = 1_000_000


class CheckpointFolder(click.ParamType[Path]):
    """A folder, or the name of a checkpoint that comes with Dragoman."""

    name = "folder"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:  # noqa: ARG002
        return find_checkpoint(str(value))


@click.command("list")
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path))
@as_json
def list_models(folders: tuple[Path, ...], as_json: bool) -> None:
    """List the shipped checkpoints, and those in FOLDERS: one each, or folders of checkpoints.

    Nothing is loaded or hashed; one that cannot be read is listed with the reason, and then the exit code is 1.
    """
    found = [*shipped_checkpoints(), *(path for folder in folders for path in _found_in(folder))]
    listed = [_listed(folder) for folder in found]
    if as_json:
        click.echo("\n".join(json.dumps(row, ensure_ascii=False) for row in listed))
    else:
        click.echo(_table([HEADINGS, *map(_cells, listed)]))
    refused = [row["error"] for row in listed if "error" in row]
    if refused:
        raise ConfigurationError("; ".join(refused))


@click.command()
@click.argument("folder", type=CheckpointFolder())
@as_json
def show(folder: Path, as_json: bool) -> None:
    """Show config, files and parameters of the checkpoint in FOLDER, and the beginning of its model card."""
    summary = summarise(folder)
    if as_json:
        click.echo(json.dumps(_described(summary), ensure_ascii=False, indent=2))
        return
    shape = ", ".join(f"{name} {value}" for name, value in summary.config.shape.items())
    facts = [
        ("version", summary.version),
        ("pairs", " ".join(summary.pairs)),
        ("architecture", f"{summary.config.architecture}: {shape}"),
        ("vocabulary", f"{summary.config.vocabulary.kind}: {' '.join(summary.config.vocabulary.files)}"),
        ("storage", summary.config.storage),
        ("shortlist", _sizes(summary.shortlist)),
        ("parameters", f"{summary.parameter_count:,}"),
        *((f"  {part}", f"{count:,}") for part, count in summary.parameters.items()),
        ("size", f"{summary.manifest.size_bytes:,} bytes"),
        *((f"  {name}", f"{file.bytes:,}  {file.sha256}") for name, file in summary.manifest.files.items()),
    ]
    click.echo(_table(facts))
    click.echo("\n" + _excerpt(summary.card))


@click.command()
@click.argument("folder", type=CheckpointFolder())
def verify(folder: Path) -> None:
    """Check the hashes of the checkpoint in FOLDER and load it; exit code 1 says what is wrong with which file."""
    started = time.perf_counter()
    checkpoint = load_checkpoint(folder, torch.device("cpu"))
    seconds = time.perf_counter() - started
    manifest = read_manifest(folder)
    click.echo(
        f"{checkpoint.version} is whole: {len(manifest.files)} files, {manifest.size_bytes:,} bytes, "
        f"{len(checkpoint.vocabulary):,} pieces, {'with' if checkpoint.shortlist else 'without'} a shortlist; "
        f"loaded in {seconds:.2f} s"
    )


@click.command()
@click.argument("folder", type=CheckpointFolder())
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--storage", type=click.Choice(STORAGES), required=True, help="How to store the weights.")
def convert(folder: Path, output: Path, storage: Storage) -> None:
    """Save the checkpoint in FOLDER as OUTPUT, another folder, its weights stored otherwise.

    int8 is about half of float16 and changes each weight by at most 0.4 % of the largest of its row: measure the
    quality again (`dragoman evaluate`), the model card and a shortlist are copied as they are.
    """
    _check_spares(output, folder)
    save_checkpoint(load_checkpoint(folder, torch.device("cpu")), output, storage)
    before, after = summarise(folder), summarise(output)
    click.echo(
        f"{before.version} as {before.config.storage}, {before.manifest.size_bytes:,} bytes -> "
        f"{after.version} as {storage}, {after.manifest.size_bytes:,} bytes in {output}"
    )


@click.command()
@click.argument("first", type=CheckpointFolder())
@click.argument("second", type=CheckpointFolder())
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--share", type=click.FloatRange(0, 1), default=0.5, show_default=True, help="How much of FIRST.")
@click.option("--storage", type=click.Choice(STORAGES), default="float16", show_default=True, help="How to store it.")
def average(first: Path, second: Path, output: Path, share: float, storage: Storage) -> None:
    """Save as OUTPUT, a third folder, weights between those of FIRST and of SECOND, the same model trained further.

    What further training on some data won stays for the most part, and what it lost elsewhere comes back. Take
    checkpoints that are not in 8 bits already, and measure the average (`dragoman evaluate`).
    """
    _check_spares(output, first, second)
    one, other = (load_checkpoint(folder, torch.device("cpu")) for folder in (first, second))
    save_checkpoint(between(one, other, share), output, storage)
    made = summarise(output)
    click.echo(f"{share:g} of {one.version} and {1 - share:g} of {other.version} -> {made.version} in {output}")


def _check_spares(output: Path, *folders: Path) -> None:
    """Refuse to save over one of `folders`: the weights that were there could not be had back."""
    if output.resolve() in [folder.resolve() for folder in folders]:
        raise ConfigurationError(f"{output} would be overwritten with what is made of it: name another folder")


def _found_in(folder: Path) -> list[Path]:
    found = checkpoints_in(folder)
    if not found:
        raise ConfigurationError(f"there is no checkpoint in {folder}: name one, or a folder that holds some")
    return found


def _listed(folder: Path) -> dict[str, Any]:
    try:
        summary = summarise(folder)
    except CheckpointError as error:
        return {"folder": str(folder), "error": str(error)}
    return {
        "version": summary.version,
        "name": summary.config.name,
        "pairs": summary.pairs,
        "architecture": summary.config.architecture,
        "parameters": summary.parameter_count,
        "storage": summary.config.storage,
        "size_bytes": summary.manifest.size_bytes,
        "folder": str(folder),
    }


def _described(summary: CheckpointSummary) -> dict[str, Any]:
    return {
        "version": summary.version,
        "sha256": summary.manifest.sha256,
        "config": summary.config.model_dump(),
        "parameters": dict(summary.parameters),
        "shortlist": asdict(summary.shortlist) if summary.shortlist else None,
        "files": {name: asdict(facts) for name, facts in summary.manifest.files.items()},
        "size_bytes": summary.manifest.size_bytes,
        "card": summary.card,
        "folder": str(summary.folder),
    }


def _sizes(shortlist: ShortlistSize | None) -> str:
    if shortlist is None:
        return "none"
    return (
        f"{shortlist.likeliest:,} likely pieces for {shortlist.source_pieces:,} source pieces, "
        f"{shortlist.frequent:,} frequent ones"
    )


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    if "error" in row:
        return ("cannot be read", *("-" for _ in HEADINGS[2:]), row["folder"])
    return (
        row["version"],
        " ".join(row["pairs"]),
        row["architecture"],
        f"{row['parameters']:,}",
        row["storage"],
        f"{row['size_bytes'] / MEGABYTE_BYTES:.1f} MB",
        row["folder"],
    )


def _table(rows: Iterable[tuple[str, ...]]) -> str:
    """Columns as wide as their longest cell."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _excerpt(card: str) -> str:
    lines = card.splitlines()
    left_out = len(lines) - CARD_LINES
    return "\n".join([*lines[:CARD_LINES], *([f"... ({left_out} more lines in README.md)"] if left_out > 0 else [])])
