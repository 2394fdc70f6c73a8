"""Makes the next statement or COMMIT of a database engine go wrong, really: the server ends the connection."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from dragoman.tests.commits import Act, before_commits
from sqlalchemy import Engine, event, text

CONFLICT = "DO $$ BEGIN RAISE EXCEPTION 'conflict' USING ERRCODE = '40001'; END $$"


class Faults:
    """What will happen to the connections of one engine; each fault once."""

    def __init__(self, database: Engine, killer: Engine) -> None:
        self._killer = killer
        self._at_commit: Act | None = None
        self._before: tuple[str, Callable[[Any], None]] | None = None
        self.bitten = 0
        before_commits(database, self._commits)
        event.listen(database, "before_cursor_execute", self._executes)

    @contextmanager
    def commit_without_effect(self) -> Iterator[None]:
        """The connection is lost when COMMIT is sent, and the server never sees it."""
        self._at_commit = lambda connection, _: self._kill(connection)
        yield from self._until_left()

    @contextmanager
    def commit_without_answer(self) -> Iterator[None]:
        """The server commits, and the connection is lost before it says so."""
        self._at_commit = self._commit_and_kill
        yield from self._until_left()

    @contextmanager
    def conflict(self) -> Iterator[None]:
        """The server calls the transaction off before it writes its rows."""
        self._before = ('INSERT INTO "translation"', lambda connection: connection.exec_driver_sql(CONFLICT))
        yield from self._until_left()

    @contextmanager
    def before(self, statement: str) -> Iterator[None]:
        """The connection is lost before this statement."""
        self._before = (statement, self._kill)
        yield from self._until_left()

    def _until_left(self) -> Iterator[None]:
        try:
            yield
        finally:
            self._at_commit = self._before = None

    def _commits(self, connection: Any, send: Callable[[], None]) -> None:
        act, self._at_commit = self._at_commit, None
        if act is not None:
            self.bitten += 1
            act(connection, send)

    def _executes(self, connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if self._before is not None and self._before[0] in statement:
            act, self._before = self._before[1], None
            self.bitten += 1
            act(connection)

    def _kill(self, connection: Any) -> None:
        pid = connection.connection.dbapi_connection.info.backend_pid
        with self._killer.connect() as killer:
            assert killer.execute(text("SELECT pg_terminate_backend(:pid, 10000)"), {"pid": pid}).scalar_one()

    def _commit_and_kill(self, connection: Any, send: Callable[[], None]) -> None:
        send()
        self._kill(connection)
