"""Sums by the day, and latencies only there.

With a latency step in each row, the sums of an hour had about as many rows as the hour had jobs. Now an hour has a row
for each kind of job, a day too, and latencies have a table of their own.
"""

from importlib import import_module

import sqlalchemy as sa
from alembic import op

revision = "0007a"
down_revision = "0007"

DIMENSIONS = (
    "client_id",
    "lane",
    "source_language",
    "target_language",
    "status",
    "reason",
    "model_version_id",
    "answered_by",
)
BY = "client_id, lane, source_language, target_language, model_version_id"
ALL = ", ".join(DIMENSIONS)
SUMS = "sum(rows), sum(source_pieces), sum(target_pieces), sum(seconds)"
MEASURES = "rows, source_pieces, target_pieces, seconds"
# A stable function, because the planner then knows its value: that next to no row is younger, and an index leads there.
# Its owner's rights: whoever may read the views need not see the table.
SUMMED_UNTIL = """
CREATE FUNCTION summed_until() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER
SET search_path FROM CURRENT
AS $$ SELECT coalesce((SELECT until FROM watermark WHERE name = 'usage'), '-infinity') $$
"""
# Rows recorded since the sums were last added to; '' = unknown.
SINCE = "FROM translation WHERE recorded_at >= summed_until()"
LATEST = """
  coalesce(client_id, '') AS client_id, coalesce(lane, '') AS lane, coalesce(source_language, '') AS source_language,
  coalesce(target_language, '') AS target_language, status, coalesce(reason, '') AS reason,
  coalesce(model_version_id, '') AS model_version_id, coalesce(answered_by, '') AS answered_by"""
LATEST_SUMS = """
  count(*) AS rows, coalesce(sum(source_pieces), 0) AS source_pieces, coalesce(sum(target_pieces), 0) AS target_pieces,
  sum(extract(epoch FROM recorded_at - submitted_at))::double precision AS seconds"""
STEP = "round(ln(greatest(extract(epoch FROM recorded_at - submitted_at), 0.001) * 1000) / ln(1.1))::smallint"
BATCHES = """
SELECT hour, model_version_id, device, batches, rows, source_pieces, padded_pieces, target_pieces, decode_seconds
FROM batch_usage
UNION ALL
SELECT date_trunc('hour', recorded_at, 'UTC'), model_version_id, device, count(*), sum(rows), sum(source_pieces),
  sum(padded_pieces), sum(target_pieces), sum(decode_seconds)
FROM batch WHERE recorded_at >= summed_until() GROUP BY 1, 2, 3"""
# For analysts; docs/history.md.
VIEWS = {
    "usage_by_hour": f"""
SELECT hour, {ALL}, {MEASURES} FROM usage
UNION ALL
SELECT date_trunc('hour', recorded_at, 'UTC'),{LATEST},{LATEST_SUMS} {SINCE} GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9""",
    "usage_by_day": f"""
SELECT day, {ALL}, {MEASURES} FROM usage_day
UNION ALL
SELECT date_trunc('day', recorded_at, 'UTC'),{LATEST},{LATEST_SUMS} {SINCE} GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9""",
    "latency_by_day": f"""
SELECT day, {BY}, latency_step, rows FROM latency_day
UNION ALL
SELECT date_trunc('day', recorded_at, 'UTC'), coalesce(client_id, ''), coalesce(lane, ''),
  coalesce(source_language, ''), coalesce(target_language, ''), coalesce(model_version_id, ''), {STEP}, count(*)
{SINCE} GROUP BY 1, 2, 3, 4, 5, 6, 7""",
    "daily_volume": f"""
SELECT day, {BY}, sum(rows)::bigint AS rows,
  coalesce(sum(rows) FILTER (WHERE status = 'translated'), 0)::bigint AS translated,
  coalesce(sum(rows) FILTER (WHERE status = 'rejected'), 0)::bigint AS rejected,
  coalesce(sum(rows) FILTER (WHERE status = 'failed'), 0)::bigint AS failed,
  coalesce(sum(rows) FILTER (WHERE answered_by IN ('twin', 'cache', 'memory')), 0)::bigint AS without_model,
  sum(source_pieces)::bigint AS source_pieces, sum(target_pieces)::bigint AS target_pieces,
  sum(seconds) / sum(rows) AS mean_seconds
FROM usage_by_day GROUP BY day, {BY}""",
    "daily_latency": f"""
SELECT day, {BY}, max(total)::bigint AS rows,
  min(power(1.1, latency_step) / 1000) FILTER (WHERE reached >= 0.5 * total) AS p50_seconds,
  min(power(1.1, latency_step) / 1000) FILTER (WHERE reached >= 0.95 * total) AS p95_seconds,
  min(power(1.1, latency_step) / 1000) FILTER (WHERE reached >= 0.99 * total) AS p99_seconds
FROM (
  SELECT day, {BY}, latency_step, sum(sum(rows)) OVER (PARTITION BY day, {BY} ORDER BY latency_step) AS reached,
    sum(sum(rows)) OVER (PARTITION BY day, {BY}) AS total
  FROM latency_by_day GROUP BY day, {BY}, latency_step
) AS steps GROUP BY day, {BY}""",
    "daily_rejects": """
SELECT day, client_id, status, reason, sum(rows)::bigint AS rows
FROM usage_by_day WHERE status <> 'translated' GROUP BY day, client_id, status, reason""",
    "daily_cost": """
SELECT used.day, client_id, model_version_id, target_pieces,
  decode_seconds * target_pieces / nullif(sum(target_pieces) OVER (PARTITION BY used.day, model_version_id), 0)
    AS decode_seconds
FROM (
  SELECT day, client_id, model_version_id, sum(target_pieces)::bigint AS target_pieces
  FROM usage_by_day WHERE answered_by = 'model' GROUP BY day, client_id, model_version_id
) AS used JOIN (
  SELECT date_trunc('day', hour, 'UTC') AS day, model_version_id, sum(decode_seconds) AS decode_seconds
  FROM batch_usage_by_hour GROUP BY 1, model_version_id
) AS spent USING (day, model_version_id)""",
}


def upgrade() -> None:
    """Make the sums by the day out of those by the hour; nothing is lost but latencies by the hour."""
    before = import_module("dragoman.storage.migrations.versions.0002_partitions").VIEWS
    _drop_views([name for name in before if name in VIEWS])
    _create("usage_day", "day", (*DIMENSIONS,), _measures())
    _create(
        "latency_day", "day", (*BY.split(", "), "latency_step"), (sa.Column("rows", sa.BigInteger, nullable=False),)
    )
    day = "date_trunc('day', hour, 'UTC')"
    op.execute(f"INSERT INTO usage_day SELECT {day}, {ALL}, {SUMS} FROM usage GROUP BY {day}, {ALL}")
    op.execute(
        f"INSERT INTO latency_day SELECT {day}, {BY}, latency_step, sum(rows) FROM usage "
        f"GROUP BY {day}, {BY}, latency_step"
    )
    _replace_usage(DIMENSIONS, f"SELECT hour, {ALL}, {SUMS} FROM usage_before GROUP BY hour, {ALL}")
    op.execute(SUMMED_UNTIL)
    op.execute(f"CREATE OR REPLACE VIEW batch_usage_by_hour AS {BATCHES}")
    for name, query in VIEWS.items():
        op.execute(f"CREATE VIEW {name} WITH (security_invoker = true) AS {query}")


def downgrade() -> None:
    """The tables before; every job of an hour and a kind then has their mean latency."""
    _drop_views(list(VIEWS))
    step = "round(ln(greatest(seconds / rows, 0.001) * 1000) / ln(1.1))"
    _replace_usage((*DIMENSIONS, "latency_step"), f"SELECT hour, {ALL}, {step}, {MEASURES} FROM usage_before")
    for table in ("latency_day", "usage_day"):
        op.drop_table(table)
    before = import_module("dragoman.storage.migrations.versions.0002_partitions").VIEWS
    op.execute(f"CREATE OR REPLACE VIEW batch_usage_by_hour AS {before['batch_usage_by_hour']}")
    for name, query in before.items():
        if name in VIEWS:
            op.execute(f"CREATE VIEW {name} WITH (security_invoker = true) AS {query}")
    op.execute("DROP FUNCTION summed_until")


def _drop_views(names: list[str]) -> None:
    for name in reversed(names):
        op.execute(f"DROP VIEW {name}")


def _replace_usage(words: tuple[str, ...], query: str) -> None:
    """Fill a new table from the old one's rows, which lie aside: names of constraints are then free again."""
    op.execute("CREATE TEMPORARY TABLE usage_before ON COMMIT DROP AS SELECT * FROM usage")
    op.drop_table("usage")
    _create("usage", "hour", words, _measures())
    op.execute(f"INSERT INTO usage {query}")
    op.execute("DROP TABLE usage_before")


def _create(table: str, moment: str, words: tuple[str, ...], measures: tuple[sa.Column[object], ...]) -> None:
    kinds = {"latency_step": sa.SmallInteger()}
    op.create_table(
        table,
        sa.Column(moment, sa.DateTime(timezone=True), nullable=False),
        *(sa.Column(name, kinds.get(name, sa.Text()), nullable=False) for name in words),
        *measures,
        sa.PrimaryKeyConstraint(moment, *words, name=f"pk_{table}"),
    )


def _measures() -> tuple[sa.Column[object], ...]:
    numbers = (sa.Column(name, sa.BigInteger, nullable=False) for name in ("rows", "source_pieces", "target_pieces"))
    return (*numbers, sa.Column("seconds", sa.Double, nullable=False))
