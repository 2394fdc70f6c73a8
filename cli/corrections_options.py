"""Options that the commands about corrections share, and what is made of them."""

import click
from pydantic import ValidationError

from ..errors import ConfigurationError
from ..schemas.corrections import Signature
from ..schemas.languages import normalised_tag
from .actor import account

source_option = click.option("-s", "--source", metavar="LANGUAGE", help="Language of the source text, e.g. en.")
target_option = click.option("-t", "--target", metavar="LANGUAGE", help="Language of the translation, e.g. fr.")
author_option = click.option("--author", default=account, metavar="NAME", help="Who says so. Default: you.")
reason_option = click.option("--reason", metavar="TEXT", help="Why.")


def signature(author: str, reason: str | None) -> Signature:
    """Who corrects on the command line, and why."""
    try:
        return Signature(author=author, reason=reason, origin="cli")
    except ValidationError as error:
        raise faults(error) from None


def faults(error: ValidationError) -> ConfigurationError:
    """What is wrong with a correction, as a sentence that quotes nothing of it."""
    found = error.errors(include_input=False, include_url=False, include_context=False)
    said = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in found)
    return ConfigurationError(f"this cannot be a correction: {said}")


def tag(language: str | None) -> str | None:
    """A language in its canonical spelling; raises `ConfigurationError` for none."""
    try:
        return None if language is None else normalised_tag(language)
    except ValueError:
        raise ConfigurationError("a language is unknown: use a BCP-47 tag such as en, fr or pt-BR") from None
