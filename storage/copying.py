"""Rows out of PostgreSQL in the bytes that the server writes: COPY, in chunks of whole rows. Knows no table."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import psycopg2
from sqlalchemy import Connection, Select
from sqlalchemy.exc import DBAPIError

from ..errors import DragomanError
from .read_ahead import Give, read_ahead

# Bytes of a chunk: some ten thousand rows.
CHUNK_BYTES = 4 << 20


class Chunk(NamedTuple):
    """Whole rows, as COPY wrote them."""

    content: bytes
    rows: int


def with_values(connection: Connection, statement: Select[Any]) -> str:
    """The statement with its values quoted in their places by the driver, for commands that take no parameters.

    Raises `DragomanError` for a value that PostgreSQL cannot hold.
    """
    compiled = statement.compile(dialect=connection.dialect)
    try:
        quoted: bytes = driver_connection(connection).cursor().mogrify(compiled.string, compiled.params or None)
        return quoted.decode()
    except ValueError as error:  # psycopg2's word for a NUL character; UnicodeEncodeError is one
        raise DragomanError("a filter holds a NUL character or is not UTF-8: no row can match it") from error


def driver_connection(connection: Connection) -> Any:
    """The connection of psycopg2 behind one of SQLAlchemy."""
    return connection.connection.driver_connection


@contextmanager
def copied(connection: Connection, query: str, options: str) -> Iterator[Iterator[Chunk]]:
    """What `COPY (query) TO STDOUT WITH (options)` writes: one snapshot, whatever happens meanwhile, times in UTC.

    The connection is closed afterwards. Raises SQLAlchemy's errors, as `database_errors` knows them.
    """
    connection.exec_driver_sql("SET TIME ZONE 'UTC'")
    raw = driver_connection(connection)

    def produce(give: Give[Chunk]) -> None:
        collector = _Collector(give)
        try:
            raw.cursor().copy_expert(f"COPY ({query}) TO STDOUT WITH ({options})", collector)
        except psycopg2.Error as error:
            raise DBAPIError("COPY", None, error) from None  # the driver's own words may quote a text
        collector.give_rest()

    def cancel() -> None:
        with suppress(psycopg2.Error):
            raw.cancel()

    try:
        with read_ahead(produce, cancel) as chunks:
            yield chunks
    finally:
        connection.invalidate()


class _Collector:
    """A file to psycopg2, which writes row by row; whole chunks to us."""

    def __init__(self, give: Callable[[Chunk], None]) -> None:
        self._give = give
        self._rows: list[bytes] = []
        self._bytes = 0

    def write(self, row: bytes) -> None:
        self._rows.append(row)
        self._bytes += len(row)
        if self._bytes >= CHUNK_BYTES:
            self.give_rest()

    def give_rest(self) -> None:
        if self._rows:
            self._give(Chunk(b"".join(self._rows), len(self._rows)))
            self._rows, self._bytes = [], 0
