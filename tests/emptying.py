"""Empties the tables between tests, those too that may only grow."""

from dragoman.storage.tables import metadata
from sqlalchemy import Connection, text


def empty_tables(connection: Connection, *others: str) -> None:
    """Empty every table of ours, and `others` that a test has made."""
    connection.execute(text("ALTER TABLE audit_event DISABLE TRIGGER refuse_truncate"))
    connection.execute(text(f"TRUNCATE {', '.join([*metadata.tables, *others])} RESTART IDENTITY"))
    connection.execute(text("ALTER TABLE audit_event ENABLE TRIGGER refuse_truncate"))
