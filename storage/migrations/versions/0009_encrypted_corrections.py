"""Which key the texts of a correction are encrypted with; NULL = they are not."""

import sqlalchemy as sa
from alembic import op
from dragoman.errors import ConfigurationError

revision = "0009"
down_revision = "0008"

VIEW = """
CREATE OR REPLACE VIEW current_correction WITH (security_invoker = true) AS
SELECT number, id, chain, job_id, client_id, source_language, target_language, source_text, target_text, author, reason,
  origin, revision, supersedes, created_at{key}
FROM correction
WHERE target_text IS NOT NULL AND NOT EXISTS (
  SELECT FROM correction AS newer
  WHERE newer.chain = correction.chain AND newer.revision = correction.revision + 1
)
"""


def upgrade() -> None:
    """Add the column; nothing is encrypted until somebody writes with a key, or encrypts again."""
    op.add_column("correction", sa.Column("text_key", sa.Text))
    op.create_index(
        "ix_correction_text_key", "correction", ["text_key"], postgresql_where=sa.text("text_key IS NOT NULL")
    )
    op.execute(VIEW.format(key=", text_key"))


def downgrade() -> None:
    """Drop it; refused while corrections are encrypted: earlier versions cannot read them."""
    if op.get_bind().execute(sa.text("SELECT EXISTS (SELECT FROM correction WHERE text_key IS NOT NULL)")).scalar():
        raise ConfigurationError("texts of correction are encrypted, and earlier versions cannot read them")
    # A view loses no column by being replaced, and with a new one goes what was granted on the old.
    granted = _grantees()
    op.execute("DROP VIEW current_correction")
    op.execute(VIEW.format(key=""))
    for role in granted:
        op.execute(f"GRANT SELECT ON current_correction TO {role}")
    op.drop_column("correction", "text_key")


def _grantees() -> list[str]:
    statement = """
SELECT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END
FROM pg_class, aclexplode(relacl)
WHERE oid = CAST('current_correction' AS regclass) AND privilege_type = 'SELECT' AND grantee <> relowner
"""
    return list(op.get_bind().execute(sa.text(statement)).scalars())
