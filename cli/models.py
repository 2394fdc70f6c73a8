"""`dragoman models`: look at checkpoints, and exchange models with other engines."""

import click

from .lazy_commands import LazyCommand, LazyCommands

COMMANDS = {
    "convert": LazyCommand("models_show", "convert", "worker", "Store the weights of a checkpoint otherwise."),
    "export-ctranslate2": LazyCommand(
        "models_export", "export_ctranslate2", "ctranslate2", "Write a model for CTranslate2."
    ),
    "import-marian": LazyCommand(
        "models_exchange", "import_marian", "worker", "Make a checkpoint of a Marian (OPUS-MT) model."
    ),
    "list": LazyCommand("models_show", "list_models", "worker", "List the shipped checkpoints and others."),
    "shortlist": LazyCommand("models_shortlist", "shortlist", "worker", "Learn which pieces a translation may have."),
    "show": LazyCommand("models_show", "show", "worker", "Show what is in a checkpoint."),
    "verify": LazyCommand("models_show", "verify", "worker", "Check that a checkpoint is whole."),
}


@click.group(cls=LazyCommands, table=COMMANDS)
def models() -> None:
    """Look at checkpoints, and exchange models with other engines."""
