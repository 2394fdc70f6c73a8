"""`dragoman models`: look at checkpoints, and exchange models with other engines."""

from importlib import import_module

import click

from ..errors import DragomanError

# name -> (module beside this file, attribute, the extra whose libraries it needs, one line of help)
COMMANDS = {
    "convert": ("models_show", "convert", "worker", "Store the weights of a checkpoint otherwise."),
    "export-ctranslate2": ("models_export", "export_ctranslate2", "ctranslate2", "Write a model for CTranslate2."),
    "import-marian": ("models_exchange", "import_marian", "worker", "Make a checkpoint of a Marian (OPUS-MT) model."),
    "list": ("models_show", "list_models", "worker", "List the shipped checkpoints and others."),
    "show": ("models_show", "show", "worker", "Show what is in a checkpoint."),
    "verify": ("models_show", "verify", "worker", "Check that a checkpoint is whole."),
}


class ModelCommands(click.Group):
    """Imports a subcommand's module only when that subcommand runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - the base class passes it
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module, attribute, extra, _ = COMMANDS[cmd_name]
        try:
            command: click.Command = getattr(import_module(f".{module}", __package__), attribute)
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("dragoman"):
                raise
            raise missing_library(cmd_name, error, extra) from error
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][3]) for name in sorted(COMMANDS)])


def missing_library(command: str, error: ModuleNotFoundError, extra: str) -> DragomanError:
    """The sentence for a library that is not installed."""
    return DragomanError(
        f"`dragoman models {command}` needs the library {error.name}, which is not installed: "
        f"pip install 'dragoman[{extra}]'"
    )


@click.group(cls=ModelCommands)
def models() -> None:
    """Look at checkpoints, and exchange models with other engines."""
