"""Shows how a translation of many segments goes, for `dragoman distill` and `dragoman back-translate`."""

import sys
import time
from collections.abc import Mapping

import click

from ..model.synthesis.chunk_translation import SynthesisReport

# Seconds between two lines where standard error is no terminal.
LINE_SECONDS = 10.0


class SynthesisDisplay:
    """One line that is written over on a terminal, a line now and then elsewhere; all on standard error."""

    def __init__(self) -> None:
        self._last = float("-inf")

    def show(self, report: SynthesisReport) -> None:
        """Take a report; shows it if it is time, and always when a job is done."""
        done = report.done >= report.total
        if sys.stderr.isatty():
            click.echo(f"\r\033[K{_line(report)}" + ("\n" if done else ""), nl=False, err=True)
        elif done or time.monotonic() - self._last >= LINE_SECONDS:
            self._last = time.monotonic()
            click.echo(_line(report), err=True)


def counts_line(counts: Mapping[str, int]) -> str:
    """What became of the segments: "120 segments kept; left out: 3 too long"."""
    left_out = ", ".join(f"{count} {reason}" for reason, count in counts.items() if count and reason != "kept")
    return f"{counts.get('kept', 0)} segments kept; left out: {left_out or 'none'}"


def _line(report: SynthesisReport) -> str:
    left = report.seconds_left
    return (
        f"{report.name}: {report.done:,} of {report.total:,} segments, {report.segments_per_second:,.1f} segments/s, "
        f"{_duration(left) if left is not None else 'unknown'} left"
    )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min {rest:02} s"
