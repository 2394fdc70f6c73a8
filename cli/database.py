"""A connection to the settings' database for one command. Knows no table."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine

from ..settings import Settings
from ..storage.engine import create_database_engine, transaction


@contextmanager
def database_transaction(settings: Settings, application_name: str = "dragoman") -> Iterator[Connection]:
    """Run the block in one transaction on a connection of its own; see `storage.engine.transaction`."""
    with database_engine(settings, application_name) as engine, transaction(engine) as connection:
        yield connection


@contextmanager
def database_engine(
    settings: Settings, application_name: str = "dragoman", *, connections: int = 1
) -> Iterator[Engine]:
    """An engine for the block, of so many connections."""
    url = settings.database_url.get_secret_value()
    engine = create_database_engine(url, application_name=application_name, pool_size=connections)
    try:
        yield engine
    finally:
        engine.dispose()
