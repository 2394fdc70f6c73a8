"""Work that a command does once, or again and again beside the workers. Knows nothing of what it is."""

import time
from collections.abc import Callable

import click

from ..errors import TransientError

every_option = click.option(
    "--every", type=click.FloatRange(min=1), help="Again after so many seconds, until Ctrl-C. Default: once."
)


def repeated(work: Callable[[], None], every_seconds: float | None) -> None:
    """Do it once, or for ever with pauses; then a database that is away only puts it off to the next time."""
    while True:
        try:
            work()
        except TransientError as error:
            if every_seconds is None:
                raise
            click.echo(f"to be repeated: {error}", err=True)
        if every_seconds is None:
            return
        time.sleep(every_seconds)
