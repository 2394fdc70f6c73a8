"""`dragoman db`: the tables of the history. Knows settings and migrations; reads no row."""

import click

from ..settings import load_settings
from ..storage import migrate


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


def _database_url() -> str:
    return load_settings().database_url.get_secret_value()
