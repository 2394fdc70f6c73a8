"""The table `correction`, its view, and which correction answered a job."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

# For analysts and exports: what each segment must become today.
CURRENT = """
CREATE VIEW current_correction AS
SELECT number, id, chain, job_id, client_id, source_language, target_language, source_text, target_text, author, reason,
  origin, revision, supersedes, created_at
FROM correction
WHERE target_text IS NOT NULL AND NOT EXISTS (
  SELECT FROM correction AS newer
  WHERE newer.chain = correction.chain AND newer.revision = correction.revision + 1
)
"""


def upgrade() -> None:
    """Create them; a nullable column is no rewrite of the history."""
    op.create_table(
        "correction",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("number", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("chain", sa.LargeBinary, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("supersedes", sa.Uuid),
        sa.Column("job_id", sa.Uuid),
        sa.Column("client_id", sa.Text),
        sa.Column("source_language", sa.Text, nullable=False),
        sa.Column("target_language", sa.Text, nullable=False),
        sa.Column("source_text", sa.Text, nullable=False),
        sa.Column("target_text", sa.Text),
        sa.Column("author", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.PrimaryKeyConstraint("id", name="pk_correction"),
        sa.UniqueConstraint("number", name="uq_correction_number"),
        sa.UniqueConstraint("chain", "revision", name="uq_correction_chain_revision"),
        sa.CheckConstraint("(revision = 1) = (supersedes IS NULL)", name="revision"),
    )
    op.create_index("ix_correction_job_id", "correction", ["job_id"], postgresql_where=sa.text("job_id IS NOT NULL"))
    op.execute(CURRENT)
    op.add_column("translation", sa.Column("correction_id", sa.Uuid))


def downgrade() -> None:
    """Drop them: corrections are lost."""
    op.drop_column("translation", "correction_id")
    op.execute("DROP VIEW current_correction")
    op.drop_table("correction")
