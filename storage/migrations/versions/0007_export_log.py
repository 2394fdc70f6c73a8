"""The table `export_log`: files that history was exported to."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Create it."""
    op.create_table(
        "export_log",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.clock_timestamp()),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("filters", JSONB, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("rows", sa.BigInteger),
        sa.Column("sha256", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_export_log"),
    )


def downgrade() -> None:
    """Drop it: which files an erased text may be in is then known to nobody."""
    op.drop_table("export_log")
