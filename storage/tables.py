"""The tables of the history, as SQLAlchemy metadata. Knows columns and indexes; runs no statement.

A change here needs a revision in `migrations/versions`: a test compares the two.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
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
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    false,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TSVECTOR

STATUSES = ("translated", "rejected", "failed")
# Of `translation`: what a client wrote or was told. Everything else of a row are figures.
TEXT_COLUMNS = ("source_text", "target_text", "detail", "metadata")
ROLES = ("production", "canary", "shadow")

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# A model as it was loaded: the id names it and twelve digits of its content, e.g. tatoeba-en-to-de-es-fr@3f9a12c4d5e6.
model_version = Table(
    "model_version",
    metadata,
    Column("id", Text, primary_key=True),
    Column("source_languages", ARRAY(Text), nullable=False),
    Column("target_languages", ARRAY(Text), nullable=False),
    Column("content_sha256", Text, nullable=False),
    Column("card", JSONB, nullable=False),
    # NULL = it is registered, and has not translated yet.
    Column("first_used_at", DateTime(timezone=True), server_default=func.now()),
    # NULL = it was never registered: a worker was started with it.
    Column("registered_at", DateTime(timezone=True)),
    Column("artifact_url", Text),
    # "en-fr": what it translates; NULL as above.
    Column("pairs", ARRAY(Text)),
    # What its gate and its training measured, by name.
    Column("metrics", JSONB, nullable=False, server_default="{}"),
)

# Which version serves a language pair as what, and since when. Rows are added and ended once, never changed otherwise;
# previous_id is where a rollback goes.
deployment = Table(
    "deployment",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("source_language", Text, nullable=False),
    Column("target_language", Text, nullable=False),
    Column("model_version_id", Text, ForeignKey("model_version.id"), nullable=False),
    Column("role", Text, nullable=False),
    Column("percent", Double),
    Column("started_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("started_by", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("previous_id", BigInteger, ForeignKey("deployment.id")),
    Column("ended_at", DateTime(timezone=True)),
    Column("ended_why", Text),
    CheckConstraint(f"role IN {ROLES}", name="role"),
    CheckConstraint(
        "CASE role WHEN 'canary' THEN percent > 0 AND percent < 100 ELSE percent IS NULL END", name="percent"
    ),
    Index(
        "uq_deployment_open",
        "source_language",
        "target_language",
        "role",
        unique=True,
        postgresql_where=text("ended_at IS NULL"),
    ),
)

# A worker could not load a version that it was to serve, and went on with the one it had.
model_refusal = Table(
    "model_refusal",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("model_version_id", Text, ForeignKey("model_version.id"), nullable=False),
    Column("worker_id", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("refused_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

# What a shadow made of a job that another version answered.
shadow_translation = Table(
    "shadow_translation",
    metadata,
    Column("job_id", Uuid, primary_key=True),
    Column("model_version_id", Text, ForeignKey("model_version.id"), primary_key=True),
    Column("target_text", Text, nullable=False),
    Column("score", Double, nullable=False),
    Column("target_pieces", Integer, nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Index(None, "model_version_id", "recorded_at"),
)

# One row a job, written once, when the job is finished. What is unknown of an undecodable message is NULL.
# Partitioned by the month inside the job id, so that one primary key finds a job published twice, however far apart;
# `partitions.py` makes the months, and what lies in none goes to translation_other.
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
    # Who translated it: model, twin (another job of the same text), cache, memory. NULL = nobody.
    Column("answered_by", Text),
    # The correction that a memory answered with. No foreign key: corrections can be erased, and the check costs.
    Column("correction_id", Uuid),
    # A no-trace job: its texts were never written.
    Column("no_trace", Boolean, nullable=False, server_default=false()),
    # With which key its texts are encrypted; NULL = they are not.
    Column("text_key", Text),
    # When its texts were removed, by request or by retention.
    Column("erased_at", DateTime(timezone=True)),
    CheckConstraint(f"status IN {STATUSES}", name="status"),
    Index(None, "client_id", "recorded_at"),
    Index(None, "recorded_at"),
    postgresql_partition_by="RANGE (job_id)",
)

# How far each kind of maintenance has come: rows recorded before are done with.
watermark = Table(
    "watermark",
    metadata,
    Column("name", Text, primary_key=True),
    Column("until", DateTime(timezone=True), nullable=False),
)

# The words of source and target of a recorded job, for search; `number` grows with the time of recording. Partitioned
# by it in runs, so that a search can begin with the latest and stop.
search_document = Table(
    "search_document",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("job_id", Uuid, nullable=False),
    Column("document", TSVECTOR, nullable=False),
    Index(None, "job_id"),
    Index(None, "document", postgresql_using="gin"),
    postgresql_partition_by="RANGE (number)",
)

# Every word of the documents, so that a part of a word finds the words.
search_word = Table(
    "search_word",
    metadata,
    Column("word", Text, primary_key=True),
    Index("ix_search_word_trigram", "word", postgresql_using="gin", postgresql_ops={"word": "gin_trgm_ops"}),
)

# Words of documents that are gone: whether others still have them is not known yet.
unsure_word = Table("unsure_word", metadata, Column("word", Text, primary_key=True))

# The history summed up by the hour of recording, and by the day; '' = unknown.
usage, usage_day = (
    Table(
        name,
        metadata,
        Column(moment, DateTime(timezone=True), primary_key=True),
        Column("client_id", Text, primary_key=True),
        Column("lane", Text, primary_key=True),
        Column("source_language", Text, primary_key=True),
        Column("target_language", Text, primary_key=True),
        Column("status", Text, primary_key=True),
        Column("reason", Text, primary_key=True),
        Column("model_version_id", Text, primary_key=True),
        Column("answered_by", Text, primary_key=True),
        Column("rows", BigInteger, nullable=False),
        Column("source_pieces", BigInteger, nullable=False),
        Column("target_pieces", BigInteger, nullable=False),
        Column("seconds", Double, nullable=False),
    )
    for name, moment in (("usage", "hour"), ("usage_day", "day"))
)

# Latencies of a day, from submission to recording, by steps (`usage.py`), of which percentiles are read.
latency_day = Table(
    "latency_day",
    metadata,
    Column("day", DateTime(timezone=True), primary_key=True),
    Column("client_id", Text, primary_key=True),
    Column("lane", Text, primary_key=True),
    Column("source_language", Text, primary_key=True),
    Column("target_language", Text, primary_key=True),
    Column("model_version_id", Text, primary_key=True),
    Column("latency_step", SmallInteger, primary_key=True, autoincrement=False),
    Column("rows", BigInteger, nullable=False),
)

# The batches summed up by the hour of recording.
batch_usage = Table(
    "batch_usage",
    metadata,
    Column("hour", DateTime(timezone=True), primary_key=True),
    Column("model_version_id", Text, primary_key=True),
    Column("device", Text, primary_key=True),
    Column("batches", BigInteger, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("source_pieces", BigInteger, nullable=False),
    Column("padded_pieces", BigInteger, nullable=False),
    Column("target_pieces", BigInteger, nullable=False),
    Column("decode_seconds", Double, nullable=False),
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
    # How often it was taken over since next_offset moved or its owner left in order.
    Column("stalled_acquisitions", Integer, nullable=False, server_default="0"),
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
    # With which key the payload is encrypted; NULL = it is not.
    Column("text_key", Text),
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

# What is agreed with a client. retention_days: NULL = the setting's, 0 = for ever.
client = Table(
    "client",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text),
    Column("retention_days", Integer),
    Column("no_trace", Boolean, nullable=False, server_default=false()),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    CheckConstraint("retention_days >= 0", name="retention_days"),
)

# What people did to the history, in one chain: `hash` covers the row and the hash before it. A trigger of the
# migration refuses every change.
audit_event = Table(
    "audit_event",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("details", JSONB, nullable=False),
    Column("previous_hash", Text, nullable=False),
    Column("hash", Text, nullable=False),
)

# What people say segments must become; rows are only added. `chain` is a digest of client, languages and source text
# (`correction_chain.py`): its rows are the revisions of one correction, 1, 2, 3 and so on, and the last one holds; one
# without target text withdraws. `number` grows as commits do. client_id NULL = for all clients, text_key NULL = plain.
correction = Table(
    "correction",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("number", BigInteger, Identity(always=True), nullable=False, unique=True),
    Column("chain", LargeBinary, nullable=False),
    Column("revision", Integer, nullable=False),
    # No foreign key: it would need an index of its own, and the revision says the same.
    Column("supersedes", Uuid),
    Column("job_id", Uuid),
    Column("client_id", Text),
    Column("source_language", Text, nullable=False),
    Column("target_language", Text, nullable=False),
    Column("source_text", Text, nullable=False),
    Column("target_text", Text),
    Column("author", Text, nullable=False),
    Column("reason", Text),
    Column("origin", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("text_key", Text),
    UniqueConstraint("chain", "revision"),
    CheckConstraint("(revision = 1) = (supersedes IS NULL)", name="revision"),
    Index(None, "job_id", postgresql_where=text("job_id IS NOT NULL")),
    Index(None, "text_key", postgresql_where=text("text_key IS NOT NULL")),
)

# Files that history was exported to, from before the first row leaves; rows and sha256 are NULL if it broke off.
export_log = Table(
    "export_log",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
    Column("who", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("filters", JSONB, nullable=False),
    Column("path", Text, nullable=False),
    Column("rows", BigInteger),
    Column("sha256", Text),
)
