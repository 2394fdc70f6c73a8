"""The command `dragoman`: finds the subcommand, loads only its module, turns our errors into exit codes.

Exit codes: 0 done; 1 it could not be done (one sentence on standard error); 2 wrong usage; 130 interrupted.
"""

import sys
from importlib import import_module

import click

from .. import __version__
from ..errors import DragomanError

# name -> (module beside this file, attribute, the extra whose libraries it needs, one line of help)
COMMANDS = {
    "back-translate": (
        "back_translate",
        "back_translate_command",
        "worker",
        "Make a parallel corpus out of monolingual text.",
    ),
    "db": ("db", "db", "worker", "Create or upgrade the database."),
    "demo": ("demo", "demo", "local", "Run the whole pipeline on a local Kafka and PostgreSQL."),
    "distill": ("distill", "distill", "train", "Train a student on what a teacher translates."),
    "evaluate": ("evaluate", "evaluate", "train", "Score a checkpoint on test sets, or compare two."),
    "history": ("history", "history", "worker", "Look at finished translations: tail, search, stats."),
    "models": ("models", "models", "worker", "Look at, convert, import and export checkpoints."),
    "publish": ("publish", "publish", None, "Publish a file of segments as jobs."),
    "submit": ("submit", "submit", None, "Submit one text, optionally wait for its translation."),
    "topics": ("topics", "topics", None, "Show or create the Kafka topics."),
    "train": ("train", "train", "train", "Train a model from a config file."),
    "translate": (
        "translate",
        "translate",
        "worker",
        "Translate standard input line by line, without Kafka.",
    ),
    "up": ("up", "up", "local", "Run a local Kafka and PostgreSQL until Ctrl-C."),
    "worker": ("worker", "worker", "worker", "Consume jobs, translate them, record the results."),
}


class LazyCommands(click.Group):
    """A group that imports a subcommand's module only when that subcommand runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - the base class passes it
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module, attribute, extra, _ = COMMANDS[cmd_name]
        try:
            command: click.Command = getattr(import_module(f".{module}", __package__), attribute)
        except ModuleNotFoundError as error:
            if extra is None or (error.name or "").startswith("dragoman"):
                raise
            raise DragomanError(
                f"`dragoman {cmd_name}` needs the library {error.name}, which is not installed: "
                f"pip install 'dragoman[{extra}]'"
            ) from error
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][3]) for name in sorted(COMMANDS)])


@click.group(cls=LazyCommands, context_settings={"help_option_names": ["-h", "--help"]})
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
