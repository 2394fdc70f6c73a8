"""The tables of the history, as SQLAlchemy metadata. Knows columns and indexes; runs no statement.

A change here needs a revision in `migrations/versions`: a test compares the two.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Computed,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    Uuid,
    func,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

STATUSES = ("translated", "rejected", "failed")

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# A model as it was loaded: the id names it and twelve digits of its content, e.g. tatoeba-en-fr@3f9a12c4d5e6.
model_version = Table(
    "model_version",
    metadata,
    Column("id", Text, primary_key=True),
    Column("source_languages", ARRAY(Text), nullable=False),
    Column("target_languages", ARRAY(Text), nullable=False),
    Column("content_sha256", Text, nullable=False),
    Column("card", JSONB, nullable=False),
    Column("first_used_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

# One row a job, written once, when the job is finished. What is unknown of an undecodable message is NULL.
translation = Table(
    "translation",
    metadata,
    Column("job_id", Uuid, primary_key=True),
    Column("client_id", Text),
    Column("lane", Text),
    Column("source_language", Text),
    Column("target_language", Text),
    Column("source_text", Text),
    Column("target_text", Text),
    Column("status", Text, nullable=False),
    Column("reason", Text),
    Column("detail", Text),
    Column("score", Double),
    # No foreign key: its check took a third of a bulk insert's time, and `batch` has one.
    Column("model_version_id", Text),
    Column("source_pieces", Integer),
    Column("target_pieces", Integer),
    Column("options", JSONB, nullable=False),
    Column("metadata", JSONB, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("submitted_at", DateTime(timezone=True), nullable=False),
    Column("admitted_at", DateTime(timezone=True), nullable=False),
    Column("started_at", DateTime(timezone=True)),
    Column("recorded_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    # No foreign key: the batch row is written after its rows, only when one of them was new.
    Column("batch_id", Uuid),
    Column("kafka_topic", Text, nullable=False),
    Column("kafka_partition", Integer, nullable=False),
    Column("kafka_offset", BigInteger, nullable=False),
    Column("lease_epoch", BigInteger, nullable=False),
    Column("worker_id", Text, nullable=False),
    CheckConstraint(f"status IN {STATUSES}", name="status"),
    Index(None, "client_id", "recorded_at"),
    Index(None, "source_language", "target_language", "recorded_at"),
    Index(None, "recorded_at"),
    # Trigrams serve `ILIKE '%word%'`; a btree on text refuses long texts (SQLSTATE 54000).
    Index(
        "ix_translation_source_text_trigram",
        "source_text",
        postgresql_using="gin",
        postgresql_ops={"source_text": "gin_trgm_ops"},
    ),
    Index(
        "ix_translation_target_text_trigram",
        "target_text",
        postgresql_using="gin",
        postgresql_ops={"target_text": "gin_trgm_ops"},
    ),
)

# One row a batch the model ran. padded_pieces counts every source slot; the ratio is the padding's share.
batch = Table(
    "batch",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("model_version_id", Text, ForeignKey("model_version.id"), nullable=False),
    Column("rows", Integer, nullable=False),
    Column("source_pieces", Integer, nullable=False),
    Column("padded_pieces", Integer, nullable=False),
    Column("target_pieces", Integer, nullable=False),
    Column(
        "padding_ratio",
        Double,
        Computed("1 - source_pieces::double precision / NULLIF(padded_pieces, 0)", persisted=True),
    ),
    Column("decode_seconds", Double, nullable=False),
    Column("device", Text, nullable=False),
    Column("worker_id", Text, nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Index(None, "recorded_at"),
)

# Who may write for a partition: the holder of the current epoch. next_offset is the next message to read.
ingest_lease = Table(
    "ingest_lease",
    metadata,
    Column("group_id", Text, primary_key=True),
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("owner", Text, nullable=False),
    Column("next_offset", BigInteger),
    Column("kafka_epoch", Integer),
    Column("topic_id", Uuid),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

# Messages that belong to recorded jobs and are not yet in Kafka. `headers` is a list of [name, value].
outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("event_id", Uuid, nullable=False, unique=True),
    Column("job_id", Uuid, nullable=False),
    Column("topic", Text, nullable=False),
    Column("key", LargeBinary),
    Column("headers", JSONB, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

# Offsets nobody will translate: unreadable batches, and gaps where Kafka's retention overtook us.
quarantine = Table(
    "quarantine",
    metadata,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("first_offset", BigInteger, primary_key=True),
    Column("last_offset", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("detail", Text),
    Column("recorded_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

# Jobs that were in the hands of a device that died, and how often each was tried alone since.
attempt = Table(
    "attempt",
    metadata,
    Column("job_id", Uuid, primary_key=True),
    Column("attempts", Integer, nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)
