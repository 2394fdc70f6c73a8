"""A click group whose subcommands are imported when they run. Knows names of modules, and no module."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

import click

from ..errors import DragomanError


class LazyCommand(NamedTuple):
    """Where a subcommand is: a module of this package, its attribute, the extra whose libraries it needs, its help."""

    module: str
    attribute: str
    extra: str | None
    help: str


class LazyCommands(click.Group):
    """Imports the module of a subcommand only when that subcommand runs; a missing library is named with its extra."""

    def __init__(self, *, table: Mapping[str, LazyCommand], **options: Any) -> None:
        super().__init__(**options)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - the base class passes it
        return sorted(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.table:
            return None
        module, attribute, extra, _ = self.table[cmd_name]
        try:
            command: click.Command = getattr(import_module(f".{module}", __package__), attribute)
        except ModuleNotFoundError as error:
            if extra is None or (error.name or "").startswith("dragoman"):
                raise
            raise DragomanError(
                f"`{ctx.command_path} {cmd_name}` needs the library {error.name}, which is not installed: "
                f"pip install 'dragoman[{extra}]'"
            ) from error
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.table[name].help) for name in sorted(self.table)])
