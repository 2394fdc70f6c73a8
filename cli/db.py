"""`dragoman db`: the tables of the history, and their upkeep. Knows settings and migrations; reads no row itself."""

from itertools import chain

import click
from sqlalchemy import Engine

from ..errors import ConfigurationError
from ..settings import load_settings
from ..storage import migrate
from ..storage.correction_reencryption import corrections_to_reencrypt, reencrypt_corrections
from ..storage.diagram import page
from ..storage.engine import transaction
from ..storage.erasure_request import tidy_up
from ..storage.maintenance import maintain
from ..storage.reencryption import reencrypt, rows_to_reencrypt
from ..storage.retention import Retention
from ..storage.revision import head_revision
from ..storage.tables import metadata
from ..storage.text_cipher import cipher_of
from .database import database_engine
from .db_access import access
from .repeating import every_option, repeated


@click.group()
def db() -> None:
    """Create or upgrade the database, keep it in order, say who may read it."""


db.add_command(access)


@db.command()
def upgrade() -> None:
    """Bring the database to the tables of this version; does nothing when it is there."""
    migrate.upgrade(_database_url())
    click.echo(f"The database is at revision {head_revision()}.")


@db.command()
def current() -> None:
    """Show the revision of the database and the one this version needs."""
    revision = migrate.current_revision(_database_url())
    click.echo(f"The database is at revision {revision or 'none'}; this version needs {head_revision()}.")


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
@every_option
def maintain_command(every: float | None) -> None:
    """Make partitions for the months to come, write search documents and sums, apply retention.

    Let one process do it every few seconds, beside the workers: until it has, searches and sums read the latest rows
    themselves. Several are harmless: one works at a time.
    """
    settings = load_settings()
    retention = Retention(settings.retention_days, settings.history_months)
    with database_engine(settings, "dragoman-maintain", connections=2) as engine:
        repeated(lambda: _maintain(engine, retention, is_only_try=every is None), every)


@db.command("reencrypt")
def reencrypt_command() -> None:
    """Encrypt with the first of DRAGOMAN_TEXT_KEYS what is not encrypted, or with another key.

    Interrupted, the same command goes on. A key may leave the setting when this is done and the outbox is empty.
    """
    settings = load_settings()
    cipher = cipher_of(settings.text_keys)
    if cipher is None:
        raise ConfigurationError("DRAGOMAN_TEXT_KEYS names no key to encrypt with")
    with database_engine(settings, "dragoman-reencrypt", connections=2) as engine:
        with transaction(engine) as connection:
            left = rows_to_reencrypt(connection, cipher) + corrections_to_reencrypt(connection, cipher)
        with click.progressbar(length=left, label="encrypting") as bar:
            for rows in chain(reencrypt(engine, cipher), reencrypt_corrections(engine, cipher)):
                bar.update(rows)
        tidy_up(engine)
    click.echo(f"every text is encrypted with the key {cipher.key_name}")


def _maintain(engine: Engine, retention: Retention, *, is_only_try: bool) -> None:
    done = maintain(engine, retention)
    if done.is_busy:
        click.echo("another process maintains this database already")
    elif is_only_try or done.partitions or done.documents or done.rows_erased or done.dropped:
        made = f", new partitions: {', '.join(done.partitions)}" if done.partitions else ""
        gone = f", texts of rows removed: {done.rows_erased:,}" if done.rows_erased else ""
        dropped = f", months dropped: {', '.join(done.dropped)}" if done.dropped else ""
        written = f"search documents: {done.documents:,}, rows summed up: {done.rows_summed_up:,}"
        click.echo(written + made + gone + dropped)


def _database_url() -> str:
    return load_settings().database_url.get_secret_value()
