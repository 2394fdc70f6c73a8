"""`dragoman train CONFIG.toml`: trains a model and shows how it goes."""

import os
import shlex
from pathlib import Path

import click
from rich.console import Console
from rich.live import Live
from rich.text import Text

from ..model.training.config import TrainConfig, load_train_config, with_limits
from ..model.training.loop import TrainingInterruptedError
from ..model.training.reports import Listener, TrainReport
from ..model.training.run import default_run_folder
from ..model.training.run import resume as resume_training
from ..model.training.run import train as run_training

INTERRUPTED = 130


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--run-folder", type=click.Path(path_type=Path), help="State, metrics and curve.  [default: runs/NAME]")
@click.option("--resume", is_flag=True, help="Go on with the run whose state is in the run folder.")
@click.option("--steps", type=click.IntRange(min=1), help="Stop after this many steps, instead of run.max_steps.")
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    help="Stop after this many minutes, those before a resume too, instead of run.max_minutes.",
)
def train(config: Path, run_folder: Path | None, resume: bool, steps: int | None, minutes: float | None) -> None:
    """Train a model as CONFIG (a TOML file, see model/configs/) says and save its checkpoint.

    Ctrl-C saves the state of the run; --resume goes on exactly there. On several GPUs or processors:
    torchrun --nproc-per-node N -m dragoman train CONFIG.
    """
    parsed, folder = load_train_config(config)
    parsed = with_limits(parsed, steps, minutes)
    run_folder = run_folder or default_run_folder(parsed)
    go = resume_training if resume else run_training
    try:
        with _Display(parsed) as display:
            output = go(parsed, folder, display.show, run_folder)
    except TrainingInterruptedError as interruption:
        if _speaks():
            click.echo(f"{interruption}. To go on:\n  {_resume_command(config, run_folder, steps, minutes)}", err=True)
        raise SystemExit(INTERRUPTED) from None
    except KeyboardInterrupt:
        click.echo("interrupted before anything new was learned: start the same command again", err=True)
        raise SystemExit(INTERRUPTED) from None
    if _speaks():
        click.echo(f"saved {output}")


def _resume_command(config: Path, run_folder: Path, steps: int | None, minutes: float | None) -> str:
    count = os.environ.get("LOCAL_WORLD_SIZE", "1")
    words = ["dragoman"] if count == "1" else ["torchrun", "--nproc-per-node", count, "-m", "dragoman"]
    words += ["train", str(config), "--run-folder", str(run_folder), "--resume"]
    words += ["--steps", str(steps)] if steps else []
    words += ["--minutes", str(minutes)] if minutes else []
    return shlex.join(words)


def _speaks() -> bool:
    """Of several processes, the first one."""
    return os.environ.get("RANK", "0") == "0"


class _Display:
    """A line that follows the run on a terminal, plain lines elsewhere; evaluations stay on both."""

    def __init__(self, config: TrainConfig) -> None:
        self._config = config
        self._console = Console(highlight=False)
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None
        self._chrf = ""

    def __enter__(self) -> "_Display":
        if _speaks():
            click.echo(
                f"training {self._config.name}: {', '.join(self._config.pairs)}; Ctrl-C saves and says how to go on"
            )
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    @property
    def show(self) -> Listener:
        return self._show_live if self._live else self._show_plain

    def _show_plain(self, report: TrainReport) -> None:
        for line in (_line(report), *_qualities(report)):
            click.echo(line)

    def _show_live(self, report: TrainReport) -> None:
        assert self._live  # noqa: S101 - chosen by `show`
        for quality in _qualities(report):
            self._console.print(Text(f"step {report.step:>7,}  {quality.strip()}"))
        if report.qualities:
            self._chrf = "  chrF " + " ".join(f"{quality.chrf:.1f}" for quality in report.qualities)
        self._live.update(Text(_line(report) + self._chrf), refresh=True)


def _line(report: TrainReport) -> str:
    words = [f"{report.progress:6.1%}  step {report.step:>7,}  epoch {report.epoch:>3}"]
    if report.pace:
        pace = report.pace
        words += [f"loss {pace.loss:.3f}", f"{pace.target_tokens_per_second:,.0f} target tokens/s"]
        words += [f"padding {pace.padding_ratio:.1%}"]
    if report.seconds_left is not None:
        words += [f"{_duration(report.seconds_left)} left"]
    return "  ".join(words)


def _qualities(report: TrainReport) -> list[str]:
    return [
        f"        dev {quality.name}: BLEU {quality.bleu:.1f}, chrF {quality.chrf:.1f} "
        f"({quality.segments} segments, beam {quality.beam_size})"
        for quality in report.qualities
    ]


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min"
