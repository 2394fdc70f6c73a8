"""`dragoman models promote`: a version takes over, if the gate lets it pass."""

from dataclasses import replace
from pathlib import Path

import click

from ..model.evaluation.gate import Verdict
from ..settings import Settings, load_settings
from ..storage.deployments import Reason
from ..storage.deployments import promote as deploy
from ..storage.models import Pair, RegisteredVersion
from .database import database_transaction
from .models_gate import Entrance, exam_options, pass_gate, planned
from .registry_options import because, by, reason


@click.command()
@click.argument("version")
@exam_options
@click.option("--force", is_flag=True, help="Whatever the gate says; needs --because.")
@because
@by
def promote(
    version: str,
    pairs: tuple[Pair, ...],
    test: Path | None,
    limit: int | None,
    because: str | None,
    by: str,
    *,
    force: bool,
) -> None:
    """Let VERSION translate, if it is not worse than the version that does so now.

    The gate compares both on the test set of each pair (paired bootstrap of BLEU and chrF) and on inputs that bring bad
    models down; what it found is kept with the version. Workers with --registry change over within seconds.
    """
    if force and not because:
        raise click.UsageError("--force needs --because: say why the gate does not count")
    settings = load_settings()
    found, entrances = planned(settings, version, pairs, test, limit)
    why = reason(by, because, "the gate let it pass")
    for entrance in entrances:
        verdict = promote_through_gate(settings, found, replace(entrance, is_forced=force), why)
        forced = f", although {'; '.join(verdict.objections)}" if verdict.objections else ""
        click.echo(f"{found.id} translates {'-'.join(entrance.pair)} now{forced}")


def promote_through_gate(settings: Settings, version: RegisteredVersion, entrance: Entrance, why: Reason) -> Verdict:
    """Let a version translate, if the gate lets it pass; raises as `pass_gate` and `deployments.promote` do."""
    verdict = pass_gate(settings, version, entrance)
    with database_transaction(settings) as connection:
        deploy(connection, entrance.pair, version.id, why)
    return verdict
