"""Connections to PostgreSQL that notice when the server is gone. Knows no table.

With the kernel's defaults, a server that vanishes silently would hold a worker for a quarter of an hour; the
keepalives here bound that to about twenty seconds.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DisconnectionError, SQLAlchemyError

from ..errors import ConfigurationError
from .errors import database_errors

DRIVER = "postgresql+psycopg2"
# libpq's words (https://www.postgresql.org/docs/current/libpq-connect.html): seconds, but milliseconds for
# tcp_user_timeout.
CONNECTION_OPTIONS = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
POOL_TIMEOUT_SECONDS = 10
# Below the idle limits that balancers and firewalls usually have.
POOL_RECYCLE_SECONDS = 1_800
# A connection that was idle for so long is asked whether it lives before it is used: a round trip. One that has just
# been used is believed; who loses it then must be able to repeat, and all of ours can.
PING_IDLE_SECONDS = 2.0


def create_database_engine(
    database_url: str,
    *,
    application_name: str = "dragoman",
    pool_size: int = 5,
    idle_in_transaction_seconds: float | None = None,
) -> Engine:
    """Make an engine for a PostgreSQL URL; opens no connection yet. Options in the URL's query win over ours.

    With `idle_in_transaction_seconds` the server breaks off a transaction in which we say nothing for so long: what a
    process locks that is frozen, others get. A transaction may set another limit for itself.
    Raises `ConfigurationError` for a URL that is none, or names another database system.
    """
    url = _parse(database_url)
    options = {"application_name": application_name, **CONNECTION_OPTIONS}
    engine = create_engine(
        url,
        connect_args={name: value for name, value in options.items() if name not in url.query},
        hide_parameters=True,
        pool_recycle=POOL_RECYCLE_SECONDS,
        pool_size=pool_size,
        pool_timeout=POOL_TIMEOUT_SECONDS,
        use_native_hstore=False,
    )
    _ask_idle_connections(engine)
    if idle_in_transaction_seconds is not None:
        _limit_idle_transactions(engine, idle_in_transaction_seconds)
    return engine


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """Run the block in one transaction: committed at its end, rolled back when it raises.

    Raises `TransientError` when the database is away or busy, `DragomanError` when it refuses for good.
    """
    with database_errors(engine), engine.begin() as connection:
        yield connection


@contextmanager
def at_once(engine: Engine) -> Iterator[Connection]:
    """A connection whose every statement is a transaction: the server ends it, however long we are held up.

    A worker that was frozen between its statement and the COMMIT kept the row of its job locked, and the one that took
    the job over waited for it without end. Raises as `transaction` does.
    """
    with database_errors(engine), engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        yield connection


@contextmanager
def own_transaction(engine: Engine) -> Iterator[Connection]:
    """A connection whose user writes BEGIN and COMMIT into statements of its own: alone, each costs a round trip.

    Rolled back when the block raises. Raises as `transaction` does.
    """
    with at_once(engine) as connection:
        try:
            yield connection
        except BaseException:
            # The driver knows of no transaction, so the pool would take the connection back in the middle of it.
            _roll_back(connection)
            raise


def _roll_back(connection: Connection) -> None:
    if connection.invalidated:
        return
    try:
        connection.exec_driver_sql("ROLLBACK")
    except SQLAlchemyError as error:
        connection.invalidate(error)


def _ask_idle_connections(engine: Engine) -> None:
    """Replace connections that died while they were idle, as `pool_pre_ping` does for all."""

    @event.listens_for(engine, "checkin")
    def used(_: Any, record: Any) -> None:
        record.info["used_at_seconds"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def ask(connection: Any, record: Any, _: Any) -> None:
        idle_seconds = time.monotonic() - record.info.get("used_at_seconds", time.monotonic())
        try:
            if idle_seconds >= PING_IDLE_SECONDS:
                engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise DisconnectionError("the connection died while it was idle") from error


def _limit_idle_transactions(engine: Engine, seconds: float) -> None:
    """Ask for the limit on every new connection: balancers between us and the server refuse it as a start option."""

    @event.listens_for(engine, "connect")
    def limit(connection: Any, _: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET idle_in_transaction_session_timeout = {round(seconds * 1000)}")
        connection.commit()


def _parse(database_url: str) -> URL:
    try:
        url = make_url(database_url)
    except (ArgumentError, ValueError):
        # The cause may quote the password.
        raise ConfigurationError(
            "DRAGOMAN_DATABASE_URL is not a URL: write postgresql+psycopg2://user:password@host:5432/database"
        ) from None
    if url.drivername not in (DRIVER, "postgresql", "postgres"):
        raise ConfigurationError(
            f"DRAGOMAN_DATABASE_URL names {url.drivername}, but the history needs PostgreSQL: "
            "write postgresql+psycopg2://user:password@host:5432/database"
        )
    return url.set(drivername=DRIVER)
