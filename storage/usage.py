"""The history summed up by the hour and the day, so that a question about a year reads few rows.

Knows how rows become sums; the views over sums and latest rows are made by the migrations. A latency falls into a step
that is a tenth longer than the one before: a percentile read from steps is at most 5 % off. Steps are kept by the day:
by the hour, nearly every row would have a sum of its own.
"""

from sqlalchemy import Connection, text

from .watermarks import Progress, next_stride, set_watermark

NAME = "usage"
# Rows of one transaction: the first time it is the whole history that has no sums yet.
STRIDE = 500_000
# Step n holds latencies around 1.1 ** n milliseconds.
STEP = 1.1

# Sums by the hour and latency from rows of `translation`; '' = unknown, so that sums have one primary key.
SUMS = f"""
SELECT date_trunc('hour', recorded_at, 'UTC') AS hour,
  coalesce(client_id, '') AS client_id, coalesce(lane, '') AS lane,
  coalesce(source_language, '') AS source_language, coalesce(target_language, '') AS target_language,
  status, coalesce(reason, '') AS reason, coalesce(model_version_id, '') AS model_version_id,
  coalesce(answered_by, '') AS answered_by,
  round(ln(greatest(extract(epoch FROM recorded_at - submitted_at), 0.001) * 1000) / ln({STEP}))::smallint
    AS latency_step,
  count(*) AS rows, coalesce(sum(source_pieces), 0) AS source_pieces,
  coalesce(sum(target_pieces), 0) AS target_pieces,
  sum(extract(epoch FROM recorded_at - submitted_at))::double precision AS seconds
FROM translation
"""  # noqa: S608 - our own words
BATCH_SUMS = """
SELECT date_trunc('hour', recorded_at, 'UTC') AS hour, model_version_id, device, count(*) AS batches,
  sum(rows) AS rows, sum(source_pieces) AS source_pieces, sum(padded_pieces) AS padded_pieces,
  sum(target_pieces) AS target_pieces, sum(decode_seconds) AS decode_seconds
FROM batch
"""
BETWEEN = "WHERE recorded_at >= :since AND recorded_at < :until"
WORDS = "client_id, lane, source_language, target_language, status, reason, model_version_id, answered_by"
LATENCY_WORDS = "client_id, lane, source_language, target_language, model_version_id, latency_step"
DAY = "date_trunc('day', hour, 'UTC')"


def _added(table: str, moment: str) -> str:
    """Sums of `summed` by another moment, added to those of a table that has no latencies."""
    return f"""
  INSERT INTO {table} SELECT {moment}, {WORDS}, sum(rows), sum(source_pieces), sum(target_pieces), sum(seconds)
  FROM summed GROUP BY {moment}, {WORDS}
  ON CONFLICT ON CONSTRAINT pk_{table} DO UPDATE SET rows = {table}.rows + excluded.rows,
    source_pieces = {table}.source_pieces + excluded.source_pieces,
    target_pieces = {table}.target_pieces + excluded.target_pieces, seconds = {table}.seconds + excluded.seconds"""  # noqa: S608


# Returns how many rows were added up.
ADD_ROWS = f"""
WITH summed AS MATERIALIZED ({SUMS} {BETWEEN} GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10),
hours AS ({_added("usage", "hour")}), days AS ({_added("usage_day", DAY)}), latencies AS (
  INSERT INTO latency_day SELECT {DAY}, {LATENCY_WORDS}, sum(rows) FROM summed GROUP BY {DAY}, {LATENCY_WORDS}
  ON CONFLICT ON CONSTRAINT pk_latency_day DO UPDATE SET rows = latency_day.rows + excluded.rows
)
SELECT coalesce(sum(rows), 0)::bigint FROM summed
"""  # noqa: S608 - our own words
ADD_BATCHES = f"""
INSERT INTO batch_usage {BATCH_SUMS} {BETWEEN} GROUP BY 1, 2, 3
ON CONFLICT (hour, model_version_id, device)
DO UPDATE SET batches = batch_usage.batches + excluded.batches, rows = batch_usage.rows + excluded.rows,
  source_pieces = batch_usage.source_pieces + excluded.source_pieces,
  padded_pieces = batch_usage.padded_pieces + excluded.padded_pieces,
  target_pieces = batch_usage.target_pieces + excluded.target_pieces,
  decode_seconds = batch_usage.decode_seconds + excluded.decode_seconds
"""


def sum_up(connection: Connection) -> Progress:
    """Add the next rows to the sums."""
    stride = next_stride(connection, NAME, STRIDE)
    bounds = {"since": stride.since, "until": stride.until}
    added: int = connection.execute(text(ADD_ROWS), bounds).scalar_one()
    connection.execute(text(ADD_BATCHES), bounds)
    set_watermark(connection, NAME, stride.until)
    return Progress(added, stride.is_last)
