"""`dragoman train CONFIG.toml`: trains a model and shows how it goes."""

import os
import shlex
from pathlib import Path

import click

from ..model.training.config import load_train_config, with_limits
from ..model.training.loop import TrainingInterruptedError
from ..model.training.run import default_run_folder
from ..model.training.run import resume as resume_training
from ..model.training.run import train as run_training
from .training_display import TrainingDisplay, speaks

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
        with TrainingDisplay(parsed) as display:
            output = go(parsed, folder, display.show, run_folder)
    except TrainingInterruptedError as interruption:
        if speaks():
            click.echo(f"{interruption}. To go on:\n  {_resume_command(config, run_folder, steps, minutes)}", err=True)
        raise SystemExit(INTERRUPTED) from None
    except KeyboardInterrupt:
        click.echo("interrupted before anything new was learned: start the same command again", err=True)
        raise SystemExit(INTERRUPTED) from None
    if speaks():
        click.echo(f"saved {output}")


def _resume_command(config: Path, run_folder: Path, steps: int | None, minutes: float | None) -> str:
    count = os.environ.get("LOCAL_WORLD_SIZE", "1")
    words = ["dragoman"] if count == "1" else ["torchrun", "--nproc-per-node", count, "-m", "dragoman"]
    words += ["train", str(config), "--run-folder", str(run_folder), "--resume"]
    words += ["--steps", str(steps)] if steps else []
    words += ["--minutes", str(minutes)] if minutes else []
    return shlex.join(words)
