"""Which exports may hold texts that are erased now: files that nobody here can reach. Knows the log of exports."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

HAS_LOG = "SELECT to_regclass('export_log') IS NOT NULL"
# What was recorded first decides: an export made before that cannot hold any of it.
SINCE = "SELECT * FROM export_log WHERE at >= :earliest ORDER BY at"


def exports_since(connection: Connection, earliest: datetime) -> list[dict[str, Any]]:
    """Entries of the log of exports from that moment on; none where no log is kept."""
    if not connection.execute(text(HAS_LOG)).scalar_one():
        return []
    return [dict(row) for row in connection.execute(text(SINCE), {"earliest": earliest}).mappings()]
