"""The model registry: where versions are kept, which of them serve what, who refused one, what shadows made."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0008"
down_revision = "0007a"

ROLES = ("production", "canary", "shadow")


def upgrade() -> None:
    """Widen model_version, without rewriting it, and make the other tables."""
    op.alter_column("model_version", "first_used_at", nullable=True)
    op.add_column("model_version", sa.Column("registered_at", sa.DateTime(timezone=True)))
    op.add_column("model_version", sa.Column("artifact_url", sa.Text))
    op.add_column("model_version", sa.Column("pairs", ARRAY(sa.Text)))
    op.add_column("model_version", sa.Column("metrics", JSONB, nullable=False, server_default="{}"))
    _create_deployment()
    op.create_table(
        "model_refusal",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        _model_version("model_refusal"),
        sa.Column("worker_id", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("refused_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.PrimaryKeyConstraint("id", name="pk_model_refusal"),
    )
    op.create_table(
        "shadow_translation",
        sa.Column("job_id", sa.Uuid, nullable=False),
        _model_version("shadow_translation"),
        sa.Column("target_text", sa.Text, nullable=False),
        sa.Column("score", sa.Double, nullable=False),
        sa.Column("target_pieces", sa.Integer, nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.PrimaryKeyConstraint("job_id", "model_version_id", name="pk_shadow_translation"),
    )
    op.create_index(
        "ix_shadow_translation_model_version_id_recorded_at", "shadow_translation", ["model_version_id", "recorded_at"]
    )


def downgrade() -> None:
    """Forget deployments and shadows; versions stay, one that never translated as if it had when it was registered."""
    for table in ("shadow_translation", "model_refusal", "deployment"):
        op.drop_table(table)
    op.execute("UPDATE model_version SET first_used_at = coalesce(registered_at, now()) WHERE first_used_at IS NULL")
    op.alter_column("model_version", "first_used_at", nullable=False)
    for column in ("metrics", "pairs", "artifact_url", "registered_at"):
        op.drop_column("model_version", column)


def _create_deployment() -> None:
    op.create_table(
        "deployment",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("source_language", sa.Text, nullable=False),
        sa.Column("target_language", sa.Text, nullable=False),
        _model_version("deployment"),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("percent", sa.Double),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("started_by", sa.Text, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("previous_id", sa.BigInteger),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.Column("ended_why", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_deployment"),
        sa.ForeignKeyConstraint(["previous_id"], ["deployment.id"], name="fk_deployment_previous_id_deployment"),
        sa.CheckConstraint(f"role IN {ROLES}", name=op.f("ck_deployment_role")),
        sa.CheckConstraint(
            "CASE role WHEN 'canary' THEN percent > 0 AND percent < 100 ELSE percent IS NULL END",
            name=op.f("ck_deployment_percent"),
        ),
    )
    op.create_index(
        "uq_deployment_open",
        "deployment",
        ["source_language", "target_language", "role"],
        unique=True,
        postgresql_where=sa.text("ended_at IS NULL"),
    )


def _model_version(table: str) -> "sa.Column[str]":
    key = sa.ForeignKey("model_version.id", name=f"fk_{table}_model_version_id_model_version")
    return sa.Column("model_version_id", sa.Text, key, nullable=False)
