"""What commands of the model registry share: language pairs, who and why."""

from collections.abc import Callable
from typing import Any

import click

from ..storage.deployments import Reason
from ..storage.models import Pair
from .actor import account

because = click.option("--because", help="Why, for those who read it later.")
by = click.option("--by", default=account, show_default="you", help="Who changes it.")


class LanguagePair(click.ParamType[Pair]):
    """`en-fr` as ("en", "fr")."""

    name = "pair"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Pair:
        if isinstance(value, tuple):
            return value
        source, dash, target = str(value).partition("-")
        if not (source and dash and target):
            self.fail(f"{value!r} is no pair of languages: write en-fr", param, ctx)
        return source, target


def pairs_of_version(help_text: str) -> Callable[[Any], Any]:
    """The option --pair; none given = every pair of the version."""
    return click.option("--pair", "pairs", multiple=True, type=LanguagePair(), help=help_text)


def reason(by: str, because: str | None, otherwise: str) -> Reason:
    """Who and why; `otherwise` where nothing was said."""
    return Reason(by, because or otherwise)
