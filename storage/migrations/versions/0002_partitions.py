"""The history by month, its search documents, its usage by the hour.

`translation` becomes a table partitioned by the time inside its job ids; its trigram indexes, which took half of an
insert's time, give way to documents that maintenance writes afterwards.
"""

import sqlalchemy as sa
from alembic import op
from dragoman.errors import ConfigurationError
from sqlalchemy.dialects.postgresql import TSVECTOR

revision = "0002"
down_revision = "0001"

COLUMNS = (
    "job_id, client_id, lane, source_language, target_language, source_text, target_text, status, reason, detail, "
    "score, model_version_id, source_pieces, target_pieces, options, metadata, attempt, submitted_at, admitted_at, "
    "started_at, recorded_at, batch_id, kafka_topic, kafka_partition, kafka_offset, lease_epoch, worker_id"
)
INDEXES = (
    "CREATE INDEX ix_translation_client_id_recorded_at ON translation (client_id, recorded_at)",
    "CREATE INDEX ix_translation_recorded_at ON translation (recorded_at)",
)
FORMER_INDEXES = (
    *INDEXES,
    "CREATE INDEX ix_translation_source_language_target_language_recorded_at "
    "ON translation (source_language, target_language, recorded_at)",
    "CREATE INDEX ix_translation_source_text_trigram ON translation USING gin (source_text gin_trgm_ops)",
    "CREATE INDEX ix_translation_target_text_trigram ON translation USING gin (target_text gin_trgm_ops)",
)

BY = "client_id, lane, source_language, target_language, model_version_id"
# For analysts; docs/history.md. Sums of closed hours, and the rows recorded since.
VIEWS = {
    "usage_by_hour": """
SELECT hour, client_id, lane, source_language, target_language, status, reason, model_version_id, answered_by,
  latency_step, rows, source_pieces, target_pieces, seconds FROM usage
UNION ALL
SELECT date_trunc('hour', recorded_at, 'UTC'), coalesce(client_id, ''), coalesce(lane, ''),
  coalesce(source_language, ''), coalesce(target_language, ''), status, coalesce(reason, ''),
  coalesce(model_version_id, ''), coalesce(answered_by, ''),
  round(ln(greatest(extract(epoch FROM recorded_at - submitted_at), 0.001) * 1000) / ln(1.1))::smallint,
  count(*), coalesce(sum(source_pieces), 0), coalesce(sum(target_pieces), 0),
  sum(extract(epoch FROM recorded_at - submitted_at))::double precision
FROM translation
WHERE recorded_at >= coalesce((SELECT until FROM watermark WHERE name = 'usage'), '-infinity')
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10""",
    "batch_usage_by_hour": """
SELECT hour, model_version_id, device, batches, rows, source_pieces, padded_pieces, target_pieces, decode_seconds
FROM batch_usage
UNION ALL
SELECT date_trunc('hour', recorded_at, 'UTC'), model_version_id, device, count(*), sum(rows), sum(source_pieces),
  sum(padded_pieces), sum(target_pieces), sum(decode_seconds)
FROM batch
WHERE recorded_at >= coalesce((SELECT until FROM watermark WHERE name = 'usage'), '-infinity')
GROUP BY 1, 2, 3""",
    "daily_volume": f"""
SELECT date_trunc('day', hour, 'UTC') AS day, {BY}, sum(rows)::bigint AS rows,
  coalesce(sum(rows) FILTER (WHERE status = 'translated'), 0)::bigint AS translated,
  coalesce(sum(rows) FILTER (WHERE status = 'rejected'), 0)::bigint AS rejected,
  coalesce(sum(rows) FILTER (WHERE status = 'failed'), 0)::bigint AS failed,
  coalesce(sum(rows) FILTER (WHERE answered_by IN ('twin', 'cache', 'memory')), 0)::bigint AS without_model,
  sum(source_pieces)::bigint AS source_pieces, sum(target_pieces)::bigint AS target_pieces,
  sum(seconds) / sum(rows) AS mean_seconds
FROM usage_by_hour GROUP BY 1, {BY}""",
    "daily_latency": f"""
SELECT day, {BY}, max(total)::bigint AS rows,
  min(power(1.1, latency_step) / 1000) FILTER (WHERE reached >= 0.5 * total) AS p50_seconds,
  min(power(1.1, latency_step) / 1000) FILTER (WHERE reached >= 0.95 * total) AS p95_seconds,
  min(power(1.1, latency_step) / 1000) FILTER (WHERE reached >= 0.99 * total) AS p99_seconds
FROM (
  SELECT date_trunc('day', hour, 'UTC') AS day, {BY}, latency_step,
    sum(sum(rows)) OVER (PARTITION BY date_trunc('day', hour, 'UTC'), {BY} ORDER BY latency_step) AS reached,
    sum(sum(rows)) OVER (PARTITION BY date_trunc('day', hour, 'UTC'), {BY}) AS total
  FROM usage_by_hour GROUP BY 1, {BY}, latency_step
) AS steps GROUP BY day, {BY}""",
    "daily_rejects": """
SELECT date_trunc('day', hour, 'UTC') AS day, client_id, status, reason, sum(rows)::bigint AS rows
FROM usage_by_hour WHERE status <> 'translated' GROUP BY 1, client_id, status, reason""",
    "daily_padding": """
SELECT date_trunc('day', hour, 'UTC') AS day, model_version_id, device, sum(batches)::bigint AS batches,
  sum(rows)::bigint AS rows, 1 - sum(source_pieces)::double precision / nullif(sum(padded_pieces), 0) AS padding_ratio,
  sum(decode_seconds) AS decode_seconds, sum(target_pieces) / nullif(sum(decode_seconds), 0) AS pieces_per_second
FROM batch_usage_by_hour GROUP BY 1, model_version_id, device""",
    "daily_cost": """
SELECT used.day, client_id, model_version_id, target_pieces,
  decode_seconds * target_pieces / nullif(sum(target_pieces) OVER (PARTITION BY used.day, model_version_id), 0)
    AS decode_seconds
FROM (
  SELECT date_trunc('day', hour, 'UTC') AS day, client_id, model_version_id, sum(target_pieces)::bigint AS target_pieces
  FROM usage_by_hour WHERE answered_by = 'model' GROUP BY 1, client_id, model_version_id
) AS used JOIN (
  SELECT date_trunc('day', hour, 'UTC') AS day, model_version_id, sum(decode_seconds) AS decode_seconds
  FROM batch_usage_by_hour GROUP BY 1, model_version_id
) AS spent USING (day, model_version_id)""",
}


def upgrade() -> None:
    """Copy the history into a partitioned table; what it holds stays."""
    _require_extension()
    _replace_translation(
        "PARTITION BY RANGE (job_id)", INDEXES, ("CREATE TABLE translation_other PARTITION OF translation DEFAULT",)
    )
    op.add_column("translation", sa.Column("answered_by", sa.Text))
    op.execute("UPDATE translation SET answered_by = 'model' WHERE status = 'translated'")
    _create_watermark()
    _create_search()
    _create_usage()
    for name, query in VIEWS.items():
        op.execute(f"CREATE VIEW {name} AS {query}")


def downgrade() -> None:
    """One plain table again, with all rows."""
    for name in reversed(VIEWS):
        op.execute(f"DROP VIEW {name}")
    for table in ("batch_usage", "usage", "search_word", "search_document", "watermark"):
        op.drop_table(table)
    op.drop_column("translation", "answered_by")
    _replace_translation("", FORMER_INDEXES, ())


def _replace_translation(partitioning: str, indexes: tuple[str, ...], partitions: tuple[str, ...]) -> None:
    op.execute("ALTER TABLE translation RENAME TO translation_before")
    op.execute("ALTER TABLE translation_before RENAME CONSTRAINT pk_translation TO pk_translation_before")
    op.execute("ALTER TABLE translation_before RENAME CONSTRAINT ck_translation_status TO ck_before_status")
    for name in [index.split()[2] for index in FORMER_INDEXES]:
        op.execute(f"ALTER INDEX IF EXISTS {name} RENAME TO before_{name[3:]}")
    op.execute(f"CREATE TABLE translation (LIKE translation_before INCLUDING DEFAULTS) {partitioning}")
    op.execute("ALTER TABLE translation ADD CONSTRAINT pk_translation PRIMARY KEY (job_id)")
    op.execute(
        "ALTER TABLE translation ADD CONSTRAINT ck_translation_status "
        "CHECK (status IN ('translated', 'rejected', 'failed'))"
    )
    for statement in (*indexes, *partitions):
        op.execute(statement)
    op.execute(f"INSERT INTO translation ({COLUMNS}) SELECT {COLUMNS} FROM translation_before")
    op.execute("DROP TABLE translation_before")


def _require_extension() -> None:
    found = op.get_bind().execute(sa.text("SELECT 1 FROM pg_extension WHERE extname = 'pg_trgm'")).scalar()
    if not found:
        raise ConfigurationError("the extension pg_trgm has gone from this database: CREATE EXTENSION pg_trgm")


def _create_watermark() -> None:
    op.create_table(
        "watermark",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_watermark"),
    )


def _create_search() -> None:
    op.create_table(
        "search_document",
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("job_id", sa.Uuid, nullable=False),
        sa.Column("document", TSVECTOR, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_search_document"),
        postgresql_partition_by="RANGE (number)",
    )
    op.create_index("ix_search_document_job_id", "search_document", ["job_id"])
    op.create_index("ix_search_document_document", "search_document", ["document"], postgresql_using="gin")
    op.create_table(
        "search_word",
        sa.Column("word", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("word", name="pk_search_word"),
    )
    op.create_index(
        "ix_search_word_trigram",
        "search_word",
        ["word"],
        postgresql_using="gin",
        postgresql_ops={"word": "gin_trgm_ops"},
    )


def _create_usage() -> None:
    words = ("client_id", "lane", "source_language", "target_language", "status", "reason", "model_version_id")
    op.create_table(
        "usage",
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in (*words, "answered_by")),
        sa.Column("latency_step", sa.SmallInteger, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("source_pieces", sa.BigInteger, nullable=False),
        sa.Column("target_pieces", sa.BigInteger, nullable=False),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("hour", *words, "answered_by", "latency_step", name="pk_usage"),
    )
    op.create_table(
        "batch_usage",
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False),
        sa.Column("model_version_id", sa.Text, nullable=False),
        sa.Column("device", sa.Text, nullable=False),
        sa.Column("batches", sa.BigInteger, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("source_pieces", sa.BigInteger, nullable=False),
        sa.Column("padded_pieces", sa.BigInteger, nullable=False),
        sa.Column("target_pieces", sa.BigInteger, nullable=False),
        sa.Column("decode_seconds", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("hour", "model_version_id", "device", name="pk_batch_usage"),
    )
