"""How far the demo is, on one line. Knows how to print; the counts are brought to it."""

import sys
import time
from dataclasses import dataclass

import click

# A terminal's line is rewritten often; a log gets a line when something has changed, now and then.
TERMINAL_SECONDS, LOG_SECONDS = 0.2, 1.0


@dataclass(frozen=True, slots=True)
class Counts:
    """Jobs published, answered on the results topic, recorded; seconds since the model began on the first."""

    published: int
    answered: int = 0
    recorded: int = 0
    translating_seconds: float = 0.0

    def __str__(self) -> str:
        if self.translating_seconds == 0:
            return f"published {self.published:>4}   waiting for the worker to load its model"
        return (
            f"published {self.published:>4}   translated {self.answered:>4}   recorded {self.recorded:>4}   "
            f"lag {self.published - self.recorded:>4}   {self.recorded / self.translating_seconds:6.1f} jobs/s"
        )


class ProgressLine:
    """Shows counts live: in place on a terminal, as lines elsewhere."""

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()
        self._shown_at_seconds = 0.0
        self._shown = ""

    def update(self, counts: Counts) -> None:
        """Show the counts if that tells something new."""
        now = time.monotonic()
        rest_seconds = TERMINAL_SECONDS if self._terminal else LOG_SECONDS
        if now - self._shown_at_seconds >= rest_seconds and str(counts) != self._shown:
            self._shown_at_seconds = now
            self.finish(counts, end="" if self._terminal else "\n")

    def finish(self, counts: Counts, end: str = "\n") -> None:
        """Show the counts and end the line."""
        self._shown = str(counts)
        click.echo(f"{chr(13) if self._terminal else ''}  {self._shown:<90}".rstrip() + end, nl=False)
