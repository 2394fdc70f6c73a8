"""What database roles may read: views and figures, no text unless granted, and of shared databases only their clients'.

Roles themselves are made by whoever runs the server. A role that is bound to clients gets a restrictive policy on
each table that it reads: PostgreSQL then shows it no other row, also through the views, which read with the rights of
whoever asks. Row security is switched on with the first such role; the owner of the tables, as which workers usually
log in, is not subject to it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from sqlalchemy import Connection, text

from ..errors import DragomanError
from .audit import append_event
from .partitions import partitions_of
from .tables import TEXT_COLUMNS, metadata, translation

FIGURE_COLUMNS = tuple(column.name for column in translation.c if column.name not in TEXT_COLUMNS)
# Which rows a role sees that is bound to clients: {clients} becomes an array of their ids.
BOUND: Mapping[str, str] = MappingProxyType(
    {
        "translation": "client_id = ANY ({clients})",
        "usage": "client_id = ANY ({clients})",
        "usage_day": "client_id = ANY ({clients})",
        "latency_day": "client_id = ANY ({clients})",
        "watermark": "name = 'usage'",
    }
)
CLIENT_VIEWS = ("usage_by_hour", "usage_by_day", "latency_by_day", "daily_volume", "daily_latency", "daily_rejects")
# These say what others cost and when: not for a role that is bound to a client.
WHOLE_TABLES = ("batch", "batch_usage", "model_version", "deployment")
WHOLE_VIEWS = ("batch_usage_by_hour", "daily_padding", "daily_cost")
# Words of everybody's texts.
TEXT_TABLES = ("search_document", "search_word", "correction", "shadow_translation")
TEXT_VIEWS = ("current_correction",)
# With the prefix of its policies a name has at most the 63 bytes that PostgreSQL keeps.
POLICY, LONGEST_ROLE_BYTES = "only_", 58
OPEN_POLICY = "whoever_is_granted"
ROLE = """
SELECT rolsuper OR rolbypassrls OR pg_has_role(rolname, relowner, 'MEMBER')
FROM pg_roles, pg_class WHERE rolname = :role AND pg_class.oid = CAST('translation' AS regclass)
"""
READERS = """
SELECT rolname, has_column_privilege(role.oid, 'translation', 'source_text', 'SELECT') AS texts, qual
FROM pg_roles AS role JOIN pg_class AS history ON history.oid = CAST('translation' AS regclass)
LEFT JOIN pg_policies ON tablename = 'translation' AND policyname = :prefix || rolname
WHERE has_column_privilege(role.oid, 'translation', 'job_id', 'SELECT')
AND NOT rolsuper AND NOT pg_has_role(role.oid, relowner, 'MEMBER') AND rolname NOT LIKE 'pg\\_%' ORDER BY rolname
"""


@dataclass(frozen=True, slots=True)
class Access:
    """What a role may read: texts too, or figures alone; rows of these clients, or of all when there are none."""

    texts: bool = False
    clients: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reader:
    """A role that may read the history; `bound_by` is the condition that PostgreSQL puts on its rows."""

    role: str
    texts: bool
    bound_by: str | None


def grant_access(connection: Connection, role: str, access: Access, actor: str) -> None:
    """Let a role read this and nothing else of ours; noted in the audit chain.

    Raises `DragomanError` for a role that does not exist, or that no row security binds.
    """
    _require_role(connection, role, access)
    _take_away(connection, role)
    columns = ", ".join(FIGURE_COLUMNS + (TEXT_COLUMNS if access.texts else ()))
    relations = [*CLIENT_VIEWS, *(table for table in BOUND if table != "translation")]
    if not access.clients:
        relations += [*WHOLE_TABLES, *WHOLE_VIEWS]
        if access.texts:
            relations += [*TEXT_TABLES, *TEXT_VIEWS, *partitions_of(connection, "search_document")]
    _run(connection, f"GRANT SELECT ({columns}) ON translation TO %1$I", role)
    _run(connection, f"GRANT SELECT ON {', '.join(relations)} TO %1$I", role)
    if access.clients:
        _bind(connection, role, access.clients)
    append_event(
        connection,
        actor,
        "access_granted",
        {"role": role, "texts": access.texts, "clients": list(access.clients)},
    )


def revoke_access(connection: Connection, role: str, actor: str) -> None:
    """Let a role read nothing of ours any more; noted in the audit chain."""
    _require_role(connection, role, Access())
    _take_away(connection, role)
    append_event(connection, actor, "access_revoked", {"role": role})


def readers(connection: Connection) -> list[Reader]:
    """Roles that may read the history, but for superusers and the owner."""
    return [Reader(*row) for row in connection.execute(text(READERS), {"prefix": POLICY})]


def _require_role(connection: Connection, role: str, access: Access) -> None:
    is_unbound = connection.execute(text(ROLE), {"role": role}).scalar_one_or_none()
    if is_unbound is None:
        raise DragomanError(f"there is no role {role}: let whoever runs the server make it, `CREATE ROLE ... LOGIN`")
    if is_unbound:
        raise DragomanError(f"{role} is the owner of the tables, a member of it or a superuser: it reads everything")
    if access.clients and len(role.encode()) > LONGEST_ROLE_BYTES:
        raise DragomanError(f"a role that is bound to clients has a name of at most {LONGEST_ROLE_BYTES} bytes")


def _take_away(connection: Connection, role: str) -> None:
    documents = partitions_of(connection, "search_document")
    relations = ", ".join([*metadata.tables, *documents, *CLIENT_VIEWS, *WHOLE_VIEWS, *TEXT_VIEWS])
    _run(connection, f"REVOKE ALL ON {relations} FROM %1$I", role)
    for table in BOUND:
        _run(connection, f"DROP POLICY IF EXISTS %1$I ON {table}", POLICY + role)


def _bind(connection: Connection, role: str, clients: Sequence[str]) -> None:
    connection.exec_driver_sql("SET LOCAL lock_timeout = '5s'")
    places = ", ".join(f"%{number}$L" for number in range(3, 3 + len(clients)))
    for table, condition in BOUND.items():
        _switch_on(connection, table)
        shown = condition.format(clients=f"ARRAY[{places}]::text[]")
        policy = f"CREATE POLICY %1$I ON {table} AS RESTRICTIVE FOR ALL TO %2$I USING ({shown})"
        _run(connection, policy, POLICY + role, role, *clients)


def _switch_on(connection: Connection, table: str) -> None:
    """Row security shows nobody anything until a policy does: this one leaves it to what is granted."""
    known = "SELECT FROM pg_policies WHERE tablename = :table AND policyname = :policy"
    if not connection.execute(text(known), {"table": table, "policy": OPEN_POLICY}).all():
        connection.execute(text(f"CREATE POLICY {OPEN_POLICY} ON {table} USING (true) WITH CHECK (true)"))
        connection.execute(text(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"))


def _run(connection: Connection, template: str, *names: str) -> None:
    """Run a statement that takes no parameters; PostgreSQL itself quotes the names (`format`, %I and %L)."""
    written = text("SELECT format(:template, VARIADIC CAST(:names AS text[]))")
    statement: str = connection.execute(written, {"template": template, "names": list(names)}).scalar_one()
    connection.exec_driver_sql(statement.replace("%", "%%"))
