"""`dragoman bench engine`: how fast a checkpoint is on this machine, beside CTranslate2 with the same weights."""

import importlib.util
import json
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import click
import torch

from ..errors import ConfigurationError
from ..model.checkpoint import Checkpoint, load_checkpoint
from ..model.engine.choosing import choose_engine
from ..model.engine.engine import Engine
from ..model.engine.limits import EngineLimits
from ..model.engine.measuring import MOST_PIECES
from ..model.engine.peer_process import CTranslate2Settings, PeerSide
from ..model.engine.static_engine import StaticEngine
from ..model.engine.survey import LoadPoint, Plan, SpeedPoint, Survey, Surveyor
from ..model.shipped import default_checkpoint, find_checkpoint
from ..model.translator import ReferenceSearch, resolve_device

PLAN = Plan()
NO_PEER = "CTranslate2 is not installed, so ours is measured alone: pip install 'dragoman[ctranslate2]'"


@click.command("engine")
@click.option("--checkpoint", type=click.Path(path_type=Path), help="Folder or shipped name. Default: the shipped one.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda:N or auto.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads of each side. Default: as PyTorch has them.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="File for all figures.")
@click.option("--plot", type=click.Path(path_type=Path), help="File for a plot, .png or .svg.")
def bench_engine(
    checkpoint: Path | None, device: str, threads: int | None, json_file: Path | None, plot: Path | None
) -> None:
    """Measure tokens a second by batch size and by length, and latency by load, with greedy search.

    Both sides translate the same random segments into translations of the same forced lengths, in turns. Nothing else
    should run meanwhile. Takes some minutes.
    """
    if plot:
        _require_matplotlib()
    if threads:
        torch.set_num_threads(threads)
    where = resolve_device(device)
    folder = find_checkpoint(str(checkpoint)) if checkpoint else default_checkpoint()
    loaded = load_checkpoint(folder, torch.device("cpu"))
    if loaded.network.config.max_positions <= MOST_PIECES:
        raise ConfigurationError(
            f"{loaded.name} takes {loaded.network.config.max_positions} positions: {MOST_PIECES + 1} are needed"
        )
    pieces = loaded.vocabulary.source_size
    with _peer(loaded, where) as peer:
        engine = _engine(loaded, where)
        try:
            found = Surveyor(engine, peer, PLAN, _tell).survey(pieces)
        finally:
            engine.close()
    _show(found, loaded.version)
    if json_file:
        json_file.write_text(json.dumps(as_rows(found), indent=2) + "\n", encoding="utf-8")
    if plot:
        from .bench_plot import draw

        draw(found, plot)


@contextmanager
def _peer(checkpoint: Checkpoint, device: torch.device) -> Iterator[PeerSide | None]:
    """CTranslate2 in a process of its own, with 8-bit weights on a CPU; None, and a line that says why, without it."""
    if importlib.util.find_spec("ctranslate2") is None:
        click.echo(NO_PEER, err=True)
        yield None
        return
    from ..model.interchange.ctranslate2 import export_ctranslate2

    precision: Literal["int8", "float16"] = "int8" if device.type == "cpu" else "float16"
    with tempfile.TemporaryDirectory(prefix="dragoman-") as parent:
        folder = Path(parent) / "model"
        settings = CTranslate2Settings(str(folder), str(device), precision, torch.get_num_threads())
        try:
            export_ctranslate2(checkpoint, folder, precision)
            side = PeerSide.ctranslate2(settings)
        except ConfigurationError as error:
            click.echo(f"CTranslate2 is left out: {error}", err=True)
            yield None
            return
        with side:
            yield side


def _engine(checkpoint: Checkpoint, device: torch.device) -> Engine:
    """The engine that the worker would take."""
    limits = EngineLimits()
    engine = choose_engine(checkpoint, device, ("auto", "auto"), limits)
    if engine is not None:
        return engine
    checkpoint.network.to(device)
    return StaticEngine(ReferenceSearch(checkpoint.network, device), limits.waiting)


def _require_matplotlib() -> None:
    if importlib.util.find_spec("matplotlib") is None:
        raise ConfigurationError("a plot needs the library matplotlib: pip install 'dragoman[train]'")


def _tell(line: str) -> None:
    click.echo(f"measuring {line}", err=True)


def _show(survey: Survey, version: str) -> None:
    click.echo(f"{version}: {survey.ours}" + (f" beside {survey.peer}" if survey.peer else ""))
    for kind in dict.fromkeys(point.kind for point in survey.speeds):
        click.echo(f"\n{kind:<12}{'tokens/s':>10}" + (f"{'peer':>10}{'ratio':>8}" if survey.peer else ""))
        for point in survey.speeds:
            if point.kind == kind:
                click.echo(_speed_line(point, survey))
    click.echo(f"\n{'load':<12}{'p50 ms':>10}{'p95 ms':>10}{'static p95':>12}")
    for load in survey.loads:
        columns = (load.continuous.median, load.continuous.share(0.95))
        told = "".join(f"{1000 * seconds:>10.0f}" for seconds in columns)
        click.echo(f"{load.share:<12.0%}{told}{1000 * load.static.share(0.95):>12.0f}")
    click.echo(f"\nfull load is {survey.segments_per_second:.1f} segments/s")


def _speed_line(point: SpeedPoint, survey: Survey) -> str:
    row = _speed_row(point, survey)
    line = f"{point.at:<12}{row['ours']:>10,.0f}"
    if survey.peer is None:
        return line
    return line + f"{row['peer']:>10,.0f}{row['ratio']:>8.2f}   {row['low']:.2f} to {row['high']:.2f}"


def as_rows(survey: Survey) -> list[dict[str, Any]]:
    """All figures, in the form of the benchmarks' rows; `peer` is null where there was none."""
    return [
        *(_speed_row(point, survey) for point in survey.speeds),
        *(_load_row(point) for point in survey.loads),
    ]


def _speed_row(point: SpeedPoint, survey: Survey) -> dict[str, Any]:
    compared = point.compared
    ours = compared.median(survey.ours)
    row: dict[str, Any] = {"name": f"{point.kind.replace(' ', '-')}-{point.at}", "ours": ours, "unit": "tokens/s"}
    if survey.peer is None:
        return row | {"peer": None, "ratio": None, "low": None, "high": None}
    ratios = compared.ratios(survey.ours, survey.peer)
    spread = {"ratio": statistics.median(ratios), "low": min(ratios), "high": max(ratios)}
    return row | {"peer": compared.median(survey.peer)} | spread


def _load_row(point: LoadPoint) -> dict[str, Any]:
    ours, static = point.continuous.share(0.95), point.static.share(0.95)
    return {
        "name": f"latency-p95-load-{100 * point.share:.0f}",
        "ours": ours,
        "peer": static,
        "unit": "s, peer: static batches",
        "ratio": ours / static,
        "low": ours / static,
        "high": ours / static,
    }
