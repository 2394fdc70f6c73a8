"""The first tables: translation, batch, model_version, ingest_lease, outbox, quarantine."""

import sqlalchemy as sa
from alembic import op

# Alembic loads revisions by path, outside the package: a relative import has nothing to be relative to.
from dragoman.errors import ConfigurationError
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0001"
down_revision = None

INSUFFICIENT_PRIVILEGE = "42501"
# What PostgreSQL answers when the contrib package is not installed: undefined_file, feature_not_supported.
NOT_INSTALLED = ("58P01", "0A000")


def upgrade() -> None:
    """Create everything."""
    _create_trigram_extension()
    _create_model_version()
    _create_translation()
    _create_batch()
    _create_ingest_lease()
    _create_outbox()
    _create_quarantine()


def downgrade() -> None:
    """Drop the tables with all they hold; the extension stays, others may use it."""
    for table in ("quarantine", "outbox", "ingest_lease", "batch", "translation", "model_version"):
        op.drop_table(table)


def _create_trigram_extension() -> None:
    try:
        op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    except sa.exc.DBAPIError as error:
        code = getattr(error.orig, "pgcode", None)
        if code == INSUFFICIENT_PRIVILEGE:
            raise ConfigurationError(
                "this database user may not create the extension pg_trgm: have an administrator run "
                "`CREATE EXTENSION pg_trgm` in this database, then repeat `dragoman db upgrade`"
            ) from error
        if code in NOT_INSTALLED:
            raise ConfigurationError(
                "the server lacks the extension pg_trgm: install PostgreSQL's contrib modules there, "
                "then repeat `dragoman db upgrade`"
            ) from error
        raise


def _timestamp(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now())


def _create_model_version() -> None:
    op.create_table(
        "model_version",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("source_languages", ARRAY(sa.Text), nullable=False),
        sa.Column("target_languages", ARRAY(sa.Text), nullable=False),
        sa.Column("content_sha256", sa.Text, nullable=False),
        sa.Column("card", JSONB, nullable=False),
        _timestamp("first_used_at"),
        sa.PrimaryKeyConstraint("id", name="pk_model_version"),
    )


def _create_translation() -> None:
    op.create_table(
        "translation",
        sa.Column("job_id", sa.Uuid, nullable=False),
        sa.Column("client_id", sa.Text),
        sa.Column("lane", sa.Text),
        sa.Column("source_language", sa.Text),
        sa.Column("target_language", sa.Text),
        sa.Column("source_text", sa.Text),
        sa.Column("target_text", sa.Text),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("detail", sa.Text),
        sa.Column("score", sa.Double),
        sa.Column("model_version_id", sa.Text),
        sa.Column("source_pieces", sa.Integer),
        sa.Column("target_pieces", sa.Integer),
        sa.Column("options", JSONB, nullable=False),
        sa.Column("metadata", JSONB, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("submitted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("admitted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True)),
        _timestamp("recorded_at"),
        sa.Column("batch_id", sa.Uuid),
        sa.Column("kafka_topic", sa.Text, nullable=False),
        sa.Column("kafka_partition", sa.Integer, nullable=False),
        sa.Column("kafka_offset", sa.BigInteger, nullable=False),
        sa.Column("lease_epoch", sa.BigInteger, nullable=False),
        sa.Column("worker_id", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("job_id", name="pk_translation"),
        sa.CheckConstraint("status IN ('translated', 'rejected', 'failed')", name=op.f("ck_translation_status")),
    )
    _index_translation()


def _index_translation() -> None:
    op.create_index("ix_translation_client_id_recorded_at", "translation", ["client_id", "recorded_at"])
    op.create_index(
        "ix_translation_source_language_target_language_recorded_at",
        "translation",
        ["source_language", "target_language", "recorded_at"],
    )
    op.create_index("ix_translation_recorded_at", "translation", ["recorded_at"])
    for column in ("source_text", "target_text"):
        op.create_index(
            f"ix_translation_{column}_trigram",
            "translation",
            [column],
            postgresql_using="gin",
            postgresql_ops={column: "gin_trgm_ops"},
        )


def _create_batch() -> None:
    op.create_table(
        "batch",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("model_version_id", sa.Text, nullable=False),
        sa.Column("rows", sa.Integer, nullable=False),
        sa.Column("source_pieces", sa.Integer, nullable=False),
        sa.Column("padded_pieces", sa.Integer, nullable=False),
        sa.Column("target_pieces", sa.Integer, nullable=False),
        sa.Column(
            "padding_ratio",
            sa.Double,
            sa.Computed("1 - source_pieces::double precision / NULLIF(padded_pieces, 0)", persisted=True),
        ),
        sa.Column("decode_seconds", sa.Double, nullable=False),
        sa.Column("device", sa.Text, nullable=False),
        sa.Column("worker_id", sa.Text, nullable=False),
        _timestamp("recorded_at"),
        sa.PrimaryKeyConstraint("id", name="pk_batch"),
        sa.ForeignKeyConstraint(
            ["model_version_id"], ["model_version.id"], name="fk_batch_model_version_id_model_version"
        ),
    )
    op.create_index("ix_batch_recorded_at", "batch", ["recorded_at"])


def _create_ingest_lease() -> None:
    op.create_table(
        "ingest_lease",
        sa.Column("group_id", sa.Text, nullable=False),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("next_offset", sa.BigInteger),
        sa.Column("kafka_epoch", sa.Integer),
        sa.Column("topic_id", sa.Uuid),
        _timestamp("updated_at"),
        sa.PrimaryKeyConstraint("group_id", "topic", "partition", name="pk_ingest_lease"),
    )


def _create_outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("event_id", sa.Uuid, nullable=False),
        sa.Column("job_id", sa.Uuid, nullable=False),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("key", sa.LargeBinary),
        sa.Column("headers", JSONB, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        _timestamp("created_at"),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
        sa.UniqueConstraint("event_id", name="uq_outbox_event_id"),
    )


def _create_quarantine() -> None:
    op.create_table(
        "quarantine",
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("first_offset", sa.BigInteger, nullable=False),
        sa.Column("last_offset", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("detail", sa.Text),
        _timestamp("recorded_at"),
        sa.PrimaryKeyConstraint("topic", "partition", "first_offset", name="pk_quarantine"),
    )
