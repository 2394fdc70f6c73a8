"""`dragoman models canary` and `shadow`: a version beside the one in production. Loads no weights."""

import click

from ..errors import ConfigurationError
from ..settings import load_settings
from ..storage.deployments import Reason, Role, end_beside, find_open, set_beside
from ..storage.models import Pair, RegisteredVersion, find_version
from .database import database_transaction
from .gate_record import hindrance
from .registry_options import because, by, pairs_of_version, reason


@click.command()
@click.argument("version")
@click.option("--percent", type=click.FloatRange(0, 100, min_open=True, max_open=True), help="Share of the jobs.")
@click.option("--end", is_flag=True, help="End it: production has all jobs again.")
@click.option("--unchecked", metavar="REASON", help="Although it has not passed the gate, for this reason.")
@pairs_of_version("For this pair, e.g. en-fr; may be given again. Default: all that the version translates.")
@because
@by
def canary(
    version: str,
    percent: float | None,
    unchecked: str | None,
    pairs: tuple[Pair, ...],
    because: str | None,
    by: str,
    *,
    end: bool,
) -> None:
    """Give VERSION a share of the jobs.

    It must have passed the gate against the version in production: `dragoman models gate`. The same text of a client
    always goes to the same version. `dragoman models watch` ends a canary that does harm.
    """
    if end == (percent is not None):
        raise click.UsageError("give --percent to begin, or --end")
    if unchecked is not None and not unchecked.strip():
        raise click.UsageError("--unchecked needs a reason: say why the gate does not count")
    why = reason(by, because, "tried by hand")
    if unchecked is not None:
        why = Reason(why.by, f"{why.why}; not checked by the gate: {unchecked}")
    elif not end:
        _require_gate(version, pairs)
    _beside(version, pairs, "canary", why, percent)


@click.command()
@click.argument("version")
@click.option("--end", is_flag=True, help="End it.")
@pairs_of_version("For this pair, e.g. en-fr; may be given again. Default: all that the version translates.")
@because
@by
def shadow(version: str, pairs: tuple[Pair, ...], because: str | None, by: str, *, end: bool) -> None:
    """Have VERSION translate what production translates, without answering.

    It never holds production up: what it has no time for is left out. `dragoman models compare` shows both.
    """
    _beside(version, pairs, "shadow", reason(by, because, "watched by hand"), None, is_end=end)


def _beside(
    named: str, pairs: tuple[Pair, ...], role: Role, why: Reason, percent: float | None, *, is_end: bool | None = None
) -> None:
    ends = percent is None if is_end is None else is_end
    with database_transaction(load_settings()) as connection:
        version = find_version(connection, named)
        for pair in chosen_pairs(version, pairs):
            if ends:
                end_beside(connection, pair, role, why.why)
                click.echo(f"{version.id} is no {role} of {'-'.join(pair)} any more")
            else:
                set_beside(connection, pair, version.id, why, percent)
                share = f" with {percent:g} % of the jobs" if percent is not None else ""
                click.echo(f"{version.id} is a {role} of {'-'.join(pair)}{share}")


def _require_gate(named: str, pairs: tuple[Pair, ...]) -> None:
    with database_transaction(load_settings()) as connection:
        version = find_version(connection, named)
        for pair in chosen_pairs(version, pairs):
            production = find_open(connection, pair, "production")
            hinders = hindrance(version, pair, production.model_version_id if production else None)
            if hinders is not None:
                raise ConfigurationError(
                    f"{version.id} is no canary of {'-'.join(pair)}, for {hinders}: run `dragoman models gate "
                    f"{version.id} --pair {'-'.join(pair)}` first, or give --unchecked REASON"
                )


def chosen_pairs(version: RegisteredVersion, pairs: tuple[Pair, ...]) -> tuple[Pair, ...]:
    """The pairs that were named, or all of the version; raises `ConfigurationError` for one that it has not."""
    strange = [pair for pair in pairs if pair not in version.pairs]
    if strange:
        known = " ".join(map("-".join, version.pairs))
        raise ConfigurationError(f"{version.id} does not translate {'-'.join(strange[0])}, only {known}")
    return pairs or version.pairs
