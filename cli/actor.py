"""Who runs a command, for what is written down of it. Knows the operating system."""

import getpass
from collections.abc import Callable
from typing import Any

import click

AnyFunction = Callable[..., Any]


def account(unnamed: str = "unknown") -> str:
    """The name of the account; `unnamed` for one that has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in many containers
        return unnamed


by: Callable[[AnyFunction], AnyFunction] = click.option(
    "--by", "actor", default=account, show_default="your account", help="Who does it, for the audit chain."
)
