"""`dragoman db`: the tables of the history, and their upkeep. Knows settings and migrations; reads no row itself."""

import time

import click
from sqlalchemy import Engine

from ..errors import TransientError
from ..settings import load_settings
from ..storage import migrate
from ..storage.diagram import page
from ..storage.engine import create_database_engine
from ..storage.maintenance import maintain
from ..storage.tables import metadata


@click.group()
def db() -> None:
    """Create or upgrade the database."""


@db.command()
def upgrade() -> None:
    """Bring the database to the tables of this version; does nothing when it is there."""
    migrate.upgrade(_database_url())
    click.echo(f"The database is at revision {migrate.head_revision()}.")


@db.command()
def current() -> None:
    """Show the revision of the database and the one this version needs."""
    revision = migrate.current_revision(_database_url())
    click.echo(f"The database is at revision {revision or 'none'}; this version needs {migrate.head_revision()}.")


@db.command()
@click.argument("revision")
@click.confirmation_option(prompt="This drops tables and columns with what they hold. Go on?")
def downgrade(revision: str) -> None:
    """Go back to REVISION; "base" drops every table."""
    migrate.downgrade(_database_url(), revision)
    click.echo(f"The database is at revision {migrate.current_revision(_database_url()) or 'none'}.")


@db.command()
def diagram() -> None:
    """Print the tables as an entity diagram (Markdown with Mermaid)."""
    click.echo(page(metadata), nl=False)


@db.command("maintain")
@click.option("--every", type=click.FloatRange(min=1), help="Again after so many seconds, until Ctrl-C. Default: once.")
def maintain_command(every: float | None) -> None:
    """Make partitions for the months to come, write search documents and sums.

    Let one process do it every few seconds, beside the workers: until it has, searches and sums read the latest rows
    themselves. Several are harmless: one works at a time.
    """
    engine = create_database_engine(_database_url(), application_name="dragoman-maintain", pool_size=2)
    try:
        while True:
            _maintain(engine, is_only_try=every is None)
            if every is None:
                return
            time.sleep(every)
    finally:
        engine.dispose()


def _maintain(engine: Engine, *, is_only_try: bool) -> None:
    try:
        done = maintain(engine)
    except TransientError as error:
        if is_only_try:
            raise
        click.echo(f"to be repeated: {error}", err=True)
        return
    if done.is_busy:
        click.echo("another process maintains this database already")
    elif is_only_try or done.partitions or done.documents:
        made = f", new partitions: {', '.join(done.partitions)}" if done.partitions else ""
        click.echo(f"search documents: {done.documents:,}, rows summed up: {done.rows_summed_up:,}{made}")


def _database_url() -> str:
    return load_settings().database_url.get_secret_value()
