"""Leases that were taken over again and again without progress; topic_id, there from the first, is now filled."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the counter; a constant default is no rewrite of the table."""
    op.add_column("ingest_lease", sa.Column("stalled_acquisitions", sa.Integer, nullable=False, server_default="0"))


def downgrade() -> None:
    """Drop it; topic_id stays, the tables before had it too."""
    op.drop_column("ingest_lease", "stalled_acquisitions")
