"""The command `dragoman`: finds the subcommand, loads only its module, turns our errors into exit codes.

Exit codes: 0 done; 1 it could not be done (one sentence on standard error); 2 wrong usage; 130 interrupted.
"""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import click

from .. import __version__
from ..errors import DragomanError
from .lazy_commands import LazyCommand, LazyCommands

# What a shell reports of a process that SIGINT ended: 128 + 2.
INTERRUPTED = 130
COMMANDS = {
    "audit": LazyCommand("audit", "audit", "worker", "Show or verify what people did to the history."),
    "back-translate": LazyCommand(
        "back_translate", "back_translate_command", "worker", "Make a parallel corpus out of monolingual text."
    ),
    "bench": LazyCommand("bench", "bench", "worker", "Measure how fast it is on this machine."),
    "clients": LazyCommand("clients", "clients", "worker", "Show or set what is agreed with each client."),
    "corrections": LazyCommand("corrections", "corrections", "worker", "Correct translations: add, import, list."),
    "corpus": LazyCommand("corpus", "corpus", "export", "Make training corpora out of the history."),
    "db": LazyCommand("db", "db", "worker", "Create or upgrade the database."),
    "demo": LazyCommand("demo", "demo", "local", "Run the whole pipeline on a local Kafka and PostgreSQL."),
    "distill": LazyCommand("distill", "distill", "train", "Train a student on what a teacher translates."),
    "evaluate": LazyCommand("evaluate", "evaluate", "train", "Score a checkpoint on test sets, or compare two."),
    "history": LazyCommand("history", "history", "worker", "Look at finished translations, export them."),
    "leases": LazyCommand("leases", "leases", "worker", "Show who reads which partition, accept a topic made anew."),
    "models": LazyCommand("models", "models", "worker", "Checkpoints, and which of them serves what."),
    "publish": LazyCommand("publish", "publish", None, "Publish a file of segments as jobs."),
    "retrain": LazyCommand("retrain", "retrain", "train", "Learn from corrections and take over, unattended."),
    "submit": LazyCommand("submit", "submit", None, "Submit one text, optionally wait for its translation."),
    "topics": LazyCommand("topics", "topics", None, "Show or create the Kafka topics."),
    "train": LazyCommand("train", "train", "train", "Train a model from a config file."),
    "translate": LazyCommand(
        "translate", "translate", "worker", "Translate standard input line by line, without Kafka."
    ),
    "up": LazyCommand("up", "up", "local", "Run a local Kafka and PostgreSQL until Ctrl-C."),
    "worker": LazyCommand("worker", "worker", "worker", "Consume jobs, translate them, record the results."),
}


class _InterruptibleCommands(LazyCommands):
    """Exits with 130 after Ctrl-C, be it while a subcommand's module is imported; click alone exits with 1."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        with _insisting_interrupt():
            return super().get_command(ctx, cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            # The first line feed closes the terminal's ^C.
            click.echo("\ndragoman: interrupted", err=True)
            raise click.exceptions.Exit(INTERRUPTED) from None


@contextmanager
def _insisting_interrupt() -> Iterator[None]:
    """Raise `KeyboardInterrupt` after Ctrl-C at the end too: torch swallows the one that meets its import of numpy."""
    is_ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not is_ours or threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)
        signal.default_int_handler(number, frame)

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if came:
            raise KeyboardInterrupt


@click.group(cls=_InterruptibleCommands, table=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="dragoman")
def dragoman() -> None:
    """Asynchronous machine translation over Kafka, with a history in Postgres.

    Settings come from DRAGOMAN_... environment variables (docs/settings.md). Shell completions:
    eval "$(_DRAGOMAN_COMPLETE=bash_source dragoman)" (or zsh_source, fish_source).
    """


def main() -> None:
    """Run the command line and exit."""
    try:
        dragoman(prog_name="dragoman", standalone_mode=True)
    except DragomanError as error:
        click.echo(f"dragoman: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
