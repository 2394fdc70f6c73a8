"""Clients, the audit chain, and what erasing needs: when a row's texts were removed, words that may be gone."""

import sqlalchemy as sa
from alembic import op
from dragoman.errors import ConfigurationError
from sqlalchemy.dialects.postgresql import JSONB

revision = "0006"
down_revision = "0005"

REFUSE = """
CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  RAISE EXCEPTION 'audit events are only ever added' USING ERRCODE = 'insufficient_privilege';
END $$
"""
REFUSE_ROWS = """
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON audit_event
FOR EACH ROW EXECUTE FUNCTION refuse_audit_change()
"""
REFUSE_ALL = """
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON audit_event
FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change()
"""
# The views of 0002 and 0005. From now on they read with the rights of whoever asks: row security holds there too.
VIEWS = (
    "current_correction",
    "usage_by_hour",
    "batch_usage_by_hour",
    "daily_volume",
    "daily_latency",
    "daily_rejects",
    "daily_padding",
    "daily_cost",
)
# The first version of PostgreSQL that has such views.
LEAST_SERVER_VERSION = 150_000


def upgrade() -> None:
    """Add them; constant defaults are no rewrite of the history."""
    if int(op.get_bind().execute(sa.text("SHOW server_version_num")).scalar_one()) < LEAST_SERVER_VERSION:
        raise ConfigurationError("the server is older than PostgreSQL 15, which this version needs: upgrade it first")
    for view in VIEWS:
        op.execute(f"ALTER VIEW {view} SET (security_invoker = true)")
    op.add_column("translation", sa.Column("no_trace", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("translation", sa.Column("text_key", sa.Text))
    op.add_column("outbox", sa.Column("text_key", sa.Text))
    op.add_column("translation", sa.Column("erased_at", sa.DateTime(timezone=True)))
    op.create_table(
        "unsure_word",
        sa.Column("word", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("word", name="pk_unsure_word"),
    )
    op.create_table(
        "client",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("name", sa.Text),
        sa.Column("retention_days", sa.Integer),
        sa.Column("no_trace", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.PrimaryKeyConstraint("id", name="pk_client"),
        sa.CheckConstraint("retention_days >= 0", name=op.f("ck_client_retention_days")),
    )
    op.create_table(
        "audit_event",
        sa.Column("number", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("details", JSONB, nullable=False),
        sa.Column("previous_hash", sa.Text, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_audit_event"),
    )
    for statement in (REFUSE, REFUSE_ROWS, REFUSE_ALL):
        op.execute(statement)


def downgrade() -> None:
    """Drop them; texts that were erased stay erased, and roles that were bound to clients read nothing any more.

    Refused while texts are encrypted: nobody could tell with which key.
    """
    _require_plain_texts()
    for table in ("translation", "usage", "watermark"):
        _drop_policies(table)
    for view in VIEWS:
        op.execute(f"ALTER VIEW {view} RESET (security_invoker)")
    for table in ("audit_event", "client", "unsure_word"):
        op.drop_table(table)
    op.execute("DROP FUNCTION refuse_audit_change()")
    for column in ("erased_at", "text_key", "no_trace"):
        op.drop_column("translation", column)
    op.drop_column("outbox", "text_key")


def _require_plain_texts() -> None:
    for table in ("translation", "outbox"):
        if op.get_bind().execute(sa.text(f"SELECT EXISTS (SELECT FROM {table} WHERE text_key IS NOT NULL)")).scalar():
            raise ConfigurationError(f"texts of {table} are encrypted, and earlier versions cannot read them")


def _drop_policies(table: str) -> None:
    """Take what bound roles could read from them: without their policies they would see every row."""
    found = op.get_bind().execute(
        sa.text("SELECT policyname, permissive, roles FROM pg_policies WHERE tablename = :table"), {"table": table}
    )
    for policy, permissive, roles in found.all():
        if permissive == "RESTRICTIVE":
            for role in roles:
                _run("REVOKE ALL ON %2$I FROM %1$I", role, table)
        _run("DROP POLICY %1$I ON %2$I", policy, table)
    op.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")


def _run(template: str, *names: str) -> None:
    written = sa.text("SELECT format(:template, VARIADIC CAST(:names AS text[]))")
    statement = op.get_bind().execute(written, {"template": template, "names": list(names)}).scalar_one()
    op.get_bind().exec_driver_sql(statement.replace("%", "%%"))
