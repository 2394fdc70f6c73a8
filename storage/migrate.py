"""Brings a database to the tables of this version. Knows Alembic; needs no alembic.ini."""

from collections.abc import Iterator
from contextlib import contextmanager

from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError
from sqlalchemy import Engine, text

from ..errors import ConfigurationError
from .engine import create_database_engine, transaction
from .maintenance import make_partitions
from .revision import revision_of

# Any number, as long as every version uses the same: the bytes of "dragoman".
ADVISORY_LOCK = int.from_bytes(b"dragoman", "big")


def upgrade(database_url: str, revision: str = "head") -> None:
    """Upgrade the database; does nothing when it is there already, and waits when another process is at it.

    All or nothing: one transaction; only the partitions of the months to come are made after it.
    Raises `ConfigurationError`, `TransientError` or `DragomanError`.
    """
    with _locked(database_url) as config:
        command.upgrade(config, revision)
    if revision == "head":
        with _engine(database_url) as engine:
            make_partitions(engine)


def downgrade(database_url: str, revision: str) -> None:
    """Go back to an earlier revision ("base" = no table at all); what newer tables hold is lost."""
    with _locked(database_url) as config:
        command.downgrade(config, revision)


def current_revision(database_url: str) -> str | None:
    """The revision the database is at; None for one that was never upgraded."""
    with _engine(database_url) as engine, transaction(engine) as connection:
        return revision_of(connection)


@contextmanager
def _engine(database_url: str) -> Iterator[Engine]:
    engine = create_database_engine(database_url, application_name="dragoman-db", pool_size=1)
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def _locked(database_url: str) -> Iterator[Config]:
    with _engine(database_url) as engine, transaction(engine) as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
        config = _config()
        config.attributes["connection"] = connection
        try:
            yield config
        except CommandError as error:
            raise ConfigurationError(
                f"the database cannot be migrated: {error}. Is it at a revision of a newer Dragoman?"
            ) from error


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", f"{__package__}:migrations")
    config.set_main_option("path_separator", "os")
    return config
