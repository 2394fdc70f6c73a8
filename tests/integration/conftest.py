"""A database with our tables, for whoever needs no more of it than that."""

from collections.abc import Iterator

import pytest
from dragoman.storage.engine import create_database_engine
from dragoman.storage.migrate import upgrade
from sqlalchemy import Engine


@pytest.fixture
def database(database_url: str) -> Iterator[Engine]:
    """The engine of a fresh database, upgraded and empty."""
    upgrade(database_url)
    engine = create_database_engine(database_url)
    yield engine
    engine.dispose()
