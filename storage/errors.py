"""What a database error means for the caller: try again, or give up. Knows SQLSTATEs; knows no table.

The exception class tells little (`ProgramLimitExceeded` is an OperationalError like a lost connection),
so the SQLSTATE and the state of the connection decide. Sentences hold PostgreSQL's primary message only: its
detail and its excerpt of the statement may quote somebody's text.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import psycopg2
from sqlalchemy import URL, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from ..errors import ConfigurationError, DragomanError, TransientError

Verdict = Literal["transient", "permanent"]

# Connection lost; transaction rolled back (serialization, deadlock); resources exhausted (disk, connections).
TRANSIENT_CLASSES = ("08", "40", "53")
TRANSIENT_STATES = frozenset(
    {
        "25006",  # read-only transaction: a former primary, until the address moves to the new one
        "25P03",  # idle_in_transaction_session_timeout
        "25P04",  # transaction_timeout
        "55P03",  # lock_timeout
        "57014",  # statement_timeout
        "57P01",  # an administrator ended the connection
        "57P02",  # the server crashed and restarts
        "57P03",  # the server is starting up or shutting down
        "57P05",  # idle_session_timeout
    }
)
# A refused login carries no SQLSTATE, only libpq's English sentence.
LOGIN_REFUSALS = (
    "password authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "does not exist",
    "permission denied for database",
    "authentication failed",
)
CHECK_VIOLATION = "23514"
UNDEFINED_TABLE_OR_COLUMN = ("42P01", "42703")


def classify(error: DBAPIError) -> Verdict:
    """Say whether repeating the whole transaction can help."""
    code = sqlstate(error)
    if code is not None:
        known = code in TRANSIENT_STATES or code.startswith(TRANSIENT_CLASSES) or _lost_its_partition(error)
        return "transient" if known or error.connection_invalidated else "permanent"
    if _login_refused(error):
        return "permanent"
    # What libpq cannot explain, such as a COPY that its backend did not end, is none of the driver's kinds of errors.
    unexplained = type(error.orig) is psycopg2.DatabaseError
    lost = error.connection_invalidated or unexplained or isinstance(error.orig, psycopg2.OperationalError)
    return "transient" if lost else "permanent"


def sqlstate(error: DBAPIError) -> str | None:
    """The five characters PostgreSQL answered with, or None where the connection itself failed."""
    code: str | None = getattr(error.orig, "pgcode", None)
    return code


def explain(error: SQLAlchemyError, url: URL) -> DragomanError:
    """Put a foreign error in our words: `TransientError` when repeating can help, else `DragomanError`."""
    if isinstance(error, PoolTimeoutError):
        return TransientError(f"every connection to the database at {address(url)} is busy: try again")
    if not isinstance(error, DBAPIError):
        return DragomanError(f"a statement for the database could not be built ({type(error).__name__})")
    if sqlstate(error) is None:
        return _explain_connection(error, url)
    return _explain_state(error, url)


@contextmanager
def database_errors(engine: Engine) -> Iterator[None]:
    """Turn errors of SQLAlchemy and psycopg2 inside the block into ours."""
    try:
        yield
    except SQLAlchemyError as error:
        ours = explain(error, engine.url)
        if isinstance(ours, TransientError):
            raise ours from error
        raise ours from None  # the cause may quote somebody's text, and tracebacks are logged
    except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
        # The pool resets a connection that it takes back, and lets the driver's own error through when it is lost.
        raise TransientError(f"a connection to the database at {address(engine.url)} was lost: try again") from error


def address(url: URL) -> str:
    """Where the database is, as host:port without user, password or database."""
    hosts = url.query.get("host", ())
    named = (hosts,) if isinstance(hosts, str) else hosts
    return ",".join(named) or f"{url.host or 'localhost'}:{url.port or 5432}"


def _lost_its_partition(error: DBAPIError) -> bool:
    """Whether a partition was made of a row's month while the row was on its way to the rest: repeated, it goes there.

    The SQLSTATE is that of a check, but no constraint has a name.
    """
    diagnostics = getattr(error.orig, "diag", None)
    table, constraint = (getattr(diagnostics, name, None) for name in ("table_name", "constraint_name"))
    return sqlstate(error) == CHECK_VIOLATION and table is not None and constraint is None


def _login_refused(error: DBAPIError) -> bool:
    text = str(error.orig)
    return any(refusal in text for refusal in LOGIN_REFUSALS)


def _explain_connection(error: DBAPIError, url: URL) -> DragomanError:
    said = " ".join(str(error.orig).split("\n")[0].split())
    if _login_refused(error):
        return ConfigurationError(
            f"the database at {address(url)} refuses the login ({said}): check user, password and database "
            "name in DRAGOMAN_DATABASE_URL"
        )
    if classify(error) == "permanent":
        return DragomanError(f"the database driver refused a statement ({type(error.orig).__name__})")
    return TransientError(
        f"the database at {address(url)} cannot be reached ({said}): start it (`dragoman up` starts a "
        "local one) or correct DRAGOMAN_DATABASE_URL"
    )


def _explain_state(error: DBAPIError, url: URL) -> DragomanError:
    code = sqlstate(error)
    said = f"{code}, {_primary_message(error)}"
    if classify(error) == "transient":
        return TransientError(f"the database at {address(url)} could not finish a transaction ({said}): try again")
    if code in UNDEFINED_TABLE_OR_COLUMN:
        return ConfigurationError(
            f"the database at {address(url)} lacks a table or column of this version ({said}): "
            "run `dragoman db upgrade`"
        )
    if code == "42501":
        return ConfigurationError(
            f"the database user lacks a right ({said}): let the owner grant it, or change DRAGOMAN_DATABASE_URL"
        )
    return DragomanError(f"the database at {address(url)} refused a statement for good ({said})")


def _primary_message(error: DBAPIError) -> str:
    diagnostics = getattr(error.orig, "diag", None)
    message: str | None = getattr(diagnostics, "message_primary", None)
    return message or type(error.orig).__name__
