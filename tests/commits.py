"""Calls somebody before each COMMIT of an engine, however it is sent: alone, or behind other statements."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine, event

# The connection, and what sends the COMMIT with all that travels with it.
Act = Callable[[Any, Callable[[], None]], None]


def before_commits(database: Engine, act: Act) -> None:
    """From now on, as long as the engine lives."""

    def of_its_own(connection: Any) -> None:
        act(connection, lambda: _send(connection, "COMMIT", None))

    def in_company(connection: Any, _: Any, statement: str, parameters: Any, *__: Any) -> None:
        if statement.endswith("COMMIT"):
            act(connection, lambda: _send(connection, statement, parameters))

    event.listen(database, "commit", of_its_own)
    event.listen(database, "before_cursor_execute", in_company)


def before_next_commit(database: Engine, act: Act) -> None:
    """Once."""
    waiting = [act]
    before_commits(database, lambda connection, send: waiting.pop()(connection, send) if waiting else None)


def _send(connection: Any, statement: str, parameters: Any) -> None:
    with connection.connection.dbapi_connection.cursor() as cursor:
        cursor.execute(statement, parameters)
