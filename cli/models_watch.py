"""`dragoman models watch` and `compare`: versions judged by what they did to live jobs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import click
from sqlalchemy import Connection, Engine

from ..settings import load_settings
from ..storage.deployments import Deployment, open_deployments
from ..storage.models import Pair
from ..storage.version_rows import Span, VersionRow, recent_rows, shadow_rows
from ..worker.logs import configure_logging
from ..worker.registry.figures import Figures, figures
from ..worker.registry.watching import watch
from .database import database_engine, database_transaction
from .registry_options import LanguagePair
from .repeating import every_option, repeated

HEADINGS = ("role", "version", "jobs", "refused", "copies", "loops", "score", "median s", "p95 s")


@click.command("watch")
@every_option
def watch_command(every: float | None) -> None:
    """End canaries and take back promotions that do harm.

    That is: more jobs rejected or failed, more copies of the source, more repetition or slower than the version beside
    or before, by a two-proportion test on at least 200 jobs each. The deployment says why. Several may watch.
    """
    settings = load_settings()
    configure_logging(settings)
    with database_engine(settings, "dragoman-watch") as engine:
        repeated(lambda: _watch(engine), every)


def _watch(engine: Engine) -> None:
    for found in watch(engine):
        one = found.deployment
        click.echo(f"{one.model_version_id} is no {one.role} of {'-'.join(one.pair)} any more: {found.why}")


@dataclass(frozen=True, slots=True)
class _Row:
    """A deployment and how it did."""

    deployment: Deployment
    figures: Figures

    @property
    def cells(self) -> tuple[str, ...]:
        found = self.figures
        numbers = (found.mean_score, found.median_seconds, found.p95_seconds)
        return (
            self.deployment.role,
            self.deployment.model_version_id,
            f"{found.rows:,}",
            *(_share(count, found.rows) for count in (found.refused, found.copies, found.loops)),
            *("-" if number is None else f"{number:.2f}" for number in numbers),
        )


@click.command()
@click.argument("pair", type=LanguagePair())
@click.option("--hours", type=click.FloatRange(min=0, min_open=True), default=24.0, show_default=True)
def compare(pair: Pair, hours: float) -> None:
    """Show side by side how production, canary and shadow of PAIR did lately (5,000 jobs of each at most)."""
    with database_transaction(load_settings()) as connection:
        deployed = [one for one in open_deployments(connection) if one.pair == pair]
        since = datetime.now(UTC) - timedelta(hours=hours)
        rows = [_Row(one, figures(_rows(connection, one, since))) for one in deployed]
    click.echo(_table([HEADINGS, *(row.cells for row in rows)]))


def _rows(connection: Connection, one: Deployment, since: datetime) -> Sequence[VersionRow]:
    read: Callable[[Connection, Span], Sequence[VersionRow]] = shadow_rows if one.role == "shadow" else recent_rows
    return read(connection, Span(one.pair, one.model_version_id, since))


def _share(count: int, rows: int) -> str:
    return f"{count / rows:.1%}" if rows else "-"


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
