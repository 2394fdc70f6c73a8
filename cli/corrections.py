"""`dragoman corrections`: what people say translations must become. `storage.corrections` keeps them."""

import click

from .lazy_commands import LazyCommand, LazyCommands

COMMANDS = {
    "add": LazyCommand("corrections_edit", "add", "worker", "Say what a segment must become from now on."),
    "export": LazyCommand("corrections_exchange", "export", "worker", "Write those that hold to a file."),
    "import": LazyCommand("corrections_exchange", "import_command", "worker", "Bring in TMX, XLIFF, JSONL or TSV."),
    "list": LazyCommand("corrections_show", "list_command", "worker", "List those that hold."),
    "show": LazyCommand("corrections_show", "show", "worker", "Show one and what came before and after it."),
    "withdraw": LazyCommand("corrections_edit", "withdraw_command", "worker", "Let one hold no longer."),
}


@click.group(cls=LazyCommands, table=COMMANDS)
def corrections() -> None:
    """Correct translations: used for the same segment from the next job on."""
