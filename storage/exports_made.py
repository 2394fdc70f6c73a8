"""Which exports may hold texts that are erased now: files that nobody here can reach. Knows the log of exports."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from .tables import export_log


def exports_since(connection: Connection, earliest: datetime) -> list[dict[str, Any]]:
    """Entries of the log from that moment on: an export made before the first text was recorded cannot hold it."""
    entries = select(export_log).where(export_log.c.at >= earliest).order_by(export_log.c.at)
    return [dict(row) for row in connection.execute(entries).mappings()]
