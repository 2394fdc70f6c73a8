"""`dragoman bench`: how fast it is on this machine."""

import click

from .lazy_commands import LazyCommand, LazyCommands

COMMANDS = {
    "engine": LazyCommand("bench_engine", "bench_engine", "worker", "The engine, beside CTranslate2 if it is there."),
}


@click.group(cls=LazyCommands, table=COMMANDS)
def bench() -> None:
    """Measure how fast it is on this machine."""
