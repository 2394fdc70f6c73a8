"""`dragoman train CONFIG.toml`: trains a model and shows how it goes."""

from pathlib import Path

import click

from ..model.training.config import load_train_config, resolve
from ..model.training.run import TrainReport
from ..model.training.run import train as run_training


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
def train(config: Path) -> None:
    """Train a model as CONFIG (a TOML file, see model/configs/) says and save its checkpoint."""
    parsed, folder = load_train_config(config)
    click.echo(f"training {parsed.name}: {parsed.source} to {parsed.target}; Ctrl-C keeps the last saved checkpoint")
    try:
        output = run_training(parsed, folder, _show)
    except KeyboardInterrupt:
        kept = resolve(parsed.output, folder)
        click.echo(f"\ninterrupted; what the last evaluation saved, if there was one, is in {kept}", err=True)
        raise SystemExit(130) from None
    click.echo(f"saved {output}")


def _show(report: TrainReport) -> None:
    left = report.seconds / report.progress - report.seconds if report.progress else 0.0
    click.echo(
        f"{report.progress:6.1%}  step {report.step:>6}  epoch {report.epoch:>3}  loss {report.loss:.3f}  "
        f"{report.target_tokens_per_second:,.0f} target pieces/s  {left / 60:.0f} min left"
    )
    if report.quality:
        click.echo(f"        dev: {report.quality}")
