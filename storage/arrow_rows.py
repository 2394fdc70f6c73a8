"""Rows out of PostgreSQL as Arrow: ADBC, which reads the binary COPY in C. Knows no table, no file.

Twice as fast as COPY as CSV and pyarrow's reader of it (benchmarks/NOTES.md). A connection of its own, to the same
server as the given one.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from psycopg2.extensions import make_dsn
from sqlalchemy import Connection

from ..errors import ConfigurationError, DragomanError, TransientError
from .copying import driver_connection
from .errors import TRANSIENT_CLASSES, TRANSIENT_STATES, address
from .read_ahead import Give, read_ahead

# Of a batch, and so of a row group of Parquet; the longest text comes on top.
BATCH_BYTES = 8 << 20
BATCH_SIZE = "adbc.postgresql.batch_size_hint_bytes"
# Sessions of the database, so that times are told in UTC whatever its own zone.
UTC = "-c timezone=UTC"


@contextmanager
def arrow_batches(connection: Connection, query: str) -> Iterator[tuple[Any, Iterator[Any]]]:
    """The schema and the record batches of a query: one snapshot, whatever happens meanwhile.

    Raises `ConfigurationError` without the libraries, `TransientError` when the database is away, `DragomanError`.
    """
    dbapi = _adbc()
    with (
        _explained(dbapi, address(connection.engine.url)),
        dbapi.connect(_login(connection)) as own,
        own.cursor(adbc_stmt_kwargs={BATCH_SIZE: str(BATCH_BYTES)}) as cursor,
    ):
        cursor.execute(query)

        def produce(give: Give[Any]) -> None:
            with cursor.fetch_record_batch() as reader:
                give(reader.schema)
                for batch in _read(reader):
                    give(batch)

        def cancel() -> None:
            with suppress(dbapi.Error):
                cursor.adbc_cancel()

        with read_ahead(produce, cancel) as items:
            yield next(items), items


def _read(reader: Any) -> Iterator[Any]:
    """The batches; a lost database as `TransientError`, which Arrow takes for an input that cannot be read."""
    try:
        yield from reader
    except OSError:
        raise TransientError("the database was lost, or stopped the export, midway: try again") from None


def _adbc() -> Any:
    try:
        import adbc_driver_postgresql.dbapi
        import pyarrow.parquet  # noqa: F401 - whoever takes the batches needs it
    except ImportError as error:
        raise ConfigurationError(f"Parquet needs the library {error.name}: pip install 'dragoman[export]'") from error
    return adbc_driver_postgresql.dbapi


def _login(connection: Connection) -> str:
    """How the given connection was made, for libpq."""
    info = driver_connection(connection).info
    given = dict(info.dsn_parameters)
    options = " ".join(filter(None, (given.pop("options", ""), UTC)))
    return make_dsn(**given, password=info.password or None, options=options)


@contextmanager
def _explained(dbapi: Any, server: str) -> Iterator[None]:
    try:
        yield
    except dbapi.Error as error:
        code = getattr(error, "sqlstate", None) or ""
        # The driver's own words may quote a text.
        if not code or code in TRANSIENT_STATES or code.startswith(TRANSIENT_CLASSES):
            raise TransientError(
                f"the database at {server} could not finish the export ({code or 'connection lost'}): try again"
            ) from None
        raise DragomanError(f"the database at {server} refused the export for good ({code})") from None
