"""A connection to the settings' database for one command. Knows no table."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from ..settings import Settings
from ..storage.engine import create_database_engine, transaction


@contextmanager
def database_transaction(settings: Settings, application_name: str = "dragoman") -> Iterator[Connection]:
    """Run the block in one transaction on a connection of its own; see `storage.engine.transaction`."""
    url = settings.database_url.get_secret_value()
    engine = create_database_engine(url, application_name=application_name, pool_size=1)
    try:
        with transaction(engine) as connection:
            yield connection
    finally:
        engine.dispose()
