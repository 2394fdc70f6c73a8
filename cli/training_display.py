"""How a training run shows itself on the command line. Knows reports, no run."""

import os
from contextlib import suppress
from typing import Self

import click
from rich.console import Console
from rich.live import Live
from rich.text import Text

from ..model.training.config import TrainConfig
from ..model.training.reports import TrainReport


class TrainingDisplay:
    """A line that follows the run on a terminal, plain lines elsewhere; evaluations stay on both."""

    def __init__(self, config: TrainConfig) -> None:
        self._config = config
        self._console = Console(highlight=False)
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None
        self._chrf = ""

    def __enter__(self) -> Self:
        if speaks():
            click.echo(
                f"training {self._config.name}: {', '.join(self._config.pairs)}; Ctrl-C saves and says how to go on"
            )
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def show(self, report: TrainReport) -> None:
        """Show where the run stands; it goes on if that fails, be it for a log on a full disk."""
        with suppress(OSError):
            (self._show_live if self._live else self._show_plain)(report)

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


def speaks() -> bool:
    """Whether this process shows anything: of several, the first one."""
    return os.environ.get("RANK", "0") == "0"
