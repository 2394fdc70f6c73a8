"""The table `attempt`: jobs that were in the hands of a device that died."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Create it."""
    op.create_table(
        "attempt",
        sa.Column("job_id", sa.Uuid, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.PrimaryKeyConstraint("job_id", name="pk_attempt"),
    )


def downgrade() -> None:
    """Drop it: suspects are then tried among others again."""
    op.drop_table("attempt")
