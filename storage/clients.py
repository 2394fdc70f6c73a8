"""What is agreed with each client: how long texts are kept, whether they are stored at all. Knows no worker."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select, text
from sqlalchemy.dialects.postgresql import insert

from ..errors import DragomanError
from .audit import append_event
from .tables import client

LONGEST_ID_CHARACTERS = 200
# Clients of the history that nothing was agreed with have a line too.
ALL = """
SELECT id, name, retention_days, no_trace, created_at FROM client
UNION ALL
SELECT client_id, NULL, NULL, false, NULL
FROM (SELECT DISTINCT client_id FROM usage_by_hour WHERE client_id <> '') AS seen
WHERE NOT EXISTS (SELECT FROM client WHERE id = client_id) ORDER BY id
"""


@dataclass(frozen=True, slots=True)
class Client:
    """A client; `retention_days` None = the setting's, 0 = for ever; `created_at` None = nothing is agreed."""

    id: str
    name: str | None
    retention_days: int | None
    no_trace: bool
    created_at: datetime | None


def all_clients(connection: Connection) -> list[Client]:
    """Every client that the history or an agreement knows, by id."""
    return [Client(*row) for row in connection.execute(text(ALL))]


def retention_days(connection: Connection, default_days: int) -> dict[str, int]:
    """How many days texts are kept, for every client for whom that is not for ever."""
    agreed = select(client.c.id, client.c.retention_days).where(client.c.retention_days.is_not(None))
    days: dict[str, int] = {row.id: row.retention_days for row in connection.execute(agreed)}
    if default_days:
        days = {known.id: default_days for known in all_clients(connection)} | days
    return {client_id: kept for client_id, kept in days.items() if kept}


def no_trace_clients(connection: Connection) -> frozenset[str]:
    """Clients whose texts are never stored."""
    return frozenset(connection.execute(select(client.c.id).where(client.c.no_trace)).scalars())


def set_client(connection: Connection, client_id: str, changes: Mapping[str, Any], actor: str) -> Client:
    """Agree on `changes` (columns of `client` and their values), and note who did; raises `DragomanError` for a bad id.

    A worker heeds a new `no_trace` within seconds; retention is applied by the next upkeep.
    """
    if not 0 < len(client_id) <= LONGEST_ID_CHARACTERS or not client_id.isprintable():
        raise DragomanError(f"a client id has 1 to {LONGEST_ID_CHARACTERS} printable characters")
    written = insert(client).values(id=client_id, **changes)
    known = written.on_conflict_do_update(index_elements=["id"], set_=dict(changes))
    row: Row[Any] = connection.execute(known.returning(*client.c)).one()
    append_event(connection, actor, "client_changed", {"client": client_id, **changes})
    return Client(**row._mapping)
