"""Which tables a database has, and which this version needs. Imports no Alembic: a worker that starts asks this.

Revisions are a chain; the files in `migrations/versions` begin with their numbers.
"""

from functools import cache
from pathlib import Path

from sqlalchemy import Connection, Engine, text

from ..errors import ConfigurationError
from .engine import transaction

VERSIONS = Path(__file__).with_name("migrations") / "versions"


@cache
def head_revision() -> str:
    """The revision this version of Dragoman needs."""
    return max(file.name.split("_", 1)[0] for file in VERSIONS.glob("[0-9]*_*.py"))


def revision_of(connection: Connection) -> str | None:
    """The revision the database is at; None for one that was never upgraded."""
    if connection.execute(text("SELECT to_regclass('alembic_version')")).scalar_one() is None:
        return None
    found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    return found


def require_current(engine: Engine) -> None:
    """Raise `ConfigurationError` unless the database is at the revision this version needs."""
    with transaction(engine) as connection:
        current = revision_of(connection)
    needed = head_revision()
    if current != needed:
        raise ConfigurationError(
            f"the database is at revision {current or 'none'}, this version needs {needed}: run `dragoman db upgrade`"
        )
