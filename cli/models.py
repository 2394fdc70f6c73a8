"""`dragoman models`: look at checkpoints, exchange models with other engines, and say which version serves what."""

import click

from .lazy_commands import LazyCommand, LazyCommands

COMMANDS = {
    "compare": LazyCommand("models_watch", "compare", "worker", "Show how production, canary and shadow do."),
    "watch": LazyCommand("models_watch", "watch_command", "worker", "Take back versions that do harm."),
    "canary": LazyCommand("models_beside", "canary", "worker", "Give a version a share of the jobs, or end that."),
    "deployments": LazyCommand("models_registry", "deployments", "worker", "Show which version serves what, and did."),
    "gate": LazyCommand("models_gate", "gate", "train", "Compare a version with production, change nothing."),
    "promote": LazyCommand("models_promote", "promote", "train", "Let a version translate, if it is not worse."),
    "register": LazyCommand("models_registry", "register", "worker", "Keep a checkpoint where workers find it."),
    "registered": LazyCommand("models_registry", "registered", "worker", "List the registered versions."),
    "rollback": LazyCommand("models_registry", "rollback", "worker", "Let the version before translate again."),
    "shadow": LazyCommand("models_beside", "shadow", "worker", "Have a version translate without answering."),
    "average": LazyCommand("models_show", "average", "worker", "Weights between those of two checkpoints."),
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
    """Look at checkpoints, exchange models with other engines, and say which version serves what."""
