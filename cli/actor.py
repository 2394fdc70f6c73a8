"""Who runs a command, for the audit chain. Knows the operating system."""

import getpass
from collections.abc import Callable
from typing import Any

import click

AnyFunction = Callable[..., Any]


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in many containers
        return "unknown"


by: Callable[[AnyFunction], AnyFunction] = click.option(
    "--by", "actor", default=_user, show_default="your account", help="Who does it, for the audit chain."
)
