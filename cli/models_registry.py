"""`dragoman models register`, `registered`, `deployments`, `rollback`: the model registry. Loads no weights."""

from collections.abc import Iterable
from pathlib import Path

import click

from ..model.shipped import find_checkpoint
from ..model.source_side import SourceSide
from ..settings import Settings, load_settings
from ..storage.deployments import Deployment, all_deployments, roll_back
from ..storage.models import ModelVersion, Pair, register_artifact, registered_versions
from ..worker.registry.artifacts import fetched, keep
from .database import database_transaction
from .registry_options import LanguagePair, because, by, reason


@click.command()
@click.argument("checkpoint", metavar="DIR_OR_URL")
def register(checkpoint: str) -> None:
    """Keep the checkpoint in DIR_OR_URL (a folder, a shipped name, or a URL) where workers find it.

    Its place is DRAGOMAN_ARTIFACTS_URL, by its content: it is never changed. To register it again does nothing.
    """
    settings = load_settings()
    if "://" in checkpoint:
        with fetched(checkpoint, settings.artifacts_cache) as folder:
            version = register_folder(settings, folder)
    else:
        version = register_folder(settings, find_checkpoint(checkpoint))
    click.echo(f"registered {version}")


def register_folder(settings: Settings, folder: Path) -> str:
    """Keep and make known the checkpoint in a folder; returns its version. A second time does nothing."""
    side = SourceSide.load(folder)
    sources, targets = (tuple(sorted(set(languages))) for languages in zip(*side.pairs, strict=True))
    version = ModelVersion(side.version, sources, targets, side.sha256, {"markdown": side.card})
    url = keep(folder, _absolute(settings.artifacts_url))
    with database_transaction(settings) as connection:
        register_artifact(connection, version, side.pairs, url)
    return side.version


@click.command()
def registered() -> None:
    """List the registered versions, the latest first."""
    with database_transaction(load_settings()) as connection:
        versions = registered_versions(connection)
    for version in versions:
        used = f"first used {version.first_used_at:%Y-%m-%d %H:%M}" if version.first_used_at else "not used yet"
        measured = ", ".join(sorted(version.metrics)) or "nothing measured"
        pairs = " ".join(map("-".join, version.pairs))
        click.echo(f"{version.id}  {pairs}  registered {version.registered_at:%Y-%m-%d %H:%M}, {used}, {measured}")


@click.command()
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many, the newest first.")
@click.option("--open", "only_open", is_flag=True, help="Only those that serve now.")
def deployments(limit: int, *, only_open: bool) -> None:
    """Show which version serves what, and did."""
    with database_transaction(load_settings()) as connection:
        found = all_deployments(connection, limit)
    for one in found:
        if one.ended_at is None or not only_open:
            click.echo("\n".join(_told(one)))


@click.command()
@click.argument("pair", type=LanguagePair())
@because
@by
def rollback(pair: Pair, because: str | None, by: str) -> None:
    """Let the version before translate PAIR again; a second time, the one before that."""
    with database_transaction(load_settings()) as connection:
        now = roll_back(connection, pair, reason(by, because, "rolled back by hand"))
    click.echo(f"{now.model_version_id} translates {'-'.join(pair)} again")


def _told(one: Deployment) -> Iterable[str]:
    share = f" {one.percent:g} %" if one.percent is not None else ""
    until = f" until {one.ended_at:%Y-%m-%d %H:%M} ({one.ended_why})" if one.ended_at else ""
    yield f"{one.id}  {'-'.join(one.pair)}  {one.role}{share}  {one.model_version_id}"
    yield f"    since {one.started_at:%Y-%m-%d %H:%M}{until}, by {one.started_by}: {one.why}"


def _absolute(artifacts_url: str) -> str:
    """A folder as seen from anywhere; a URL is that."""
    return artifacts_url if "://" in artifacts_url else str(Path(artifacts_url).absolute())
