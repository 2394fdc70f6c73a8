"""A history of a year for `storage.py`: rows, batches, search documents. Measures nothing.

Rows come faster than a worker would write them: their secondary indexes are made afterwards, and what search needs of
a sentence is taken down once. So indexes are as compact as after a REINDEX.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import uuid4

from dragoman.storage.engine import transaction
from dragoman.storage.models import ModelVersion, register_model_version
from dragoman.storage.partitions import make_partition, missing_months
from dragoman.storage.search_index import NAME as SEARCH
from dragoman.storage.search_index import RUN, partition_of
from dragoman.storage.watermarks import closed_until, set_watermark
from dragoman.storage.words import words
from sqlalchemy import Connection, Engine, text

MODEL = "m"
# Rows of one statement.
FILLED = 100_000
# As many as the machine this is meant for has cores.
WRITERS = 2
ROWS = """
WITH written AS (
INSERT INTO translation (job_id, client_id, lane, source_language, target_language, source_text, target_text, status,
  reason, score, model_version_id, source_pieces, target_pieces, options, metadata, attempt, submitted_at, admitted_at,
  started_at, recorded_at, batch_id, kafka_topic, kafka_partition, kafka_offset, lease_epoch, worker_id, answered_by)
SELECT (lpad(to_hex(floor(extract(epoch FROM made) * 1000)::bigint), 12, '0') || '7' || substr(md5(n::text), 1, 3)
    || 'a' || substr(md5(n::text), 5, 15))::uuid,
  'client-' || n % 23, CASE WHEN n % 5 = 0 THEN 'interactive' ELSE 'bulk' END, 'en', 'fr', source, target,
  CASE WHEN n % 97 = 0 THEN 'rejected' ELSE 'translated' END, CASE WHEN n % 97 = 0 THEN 'empty_text' END, -1.5,
  :model, length(source) / 4 + 1, length(target) / 4 + 1, '{}', '{}', 1, made, made, made,
  made + interval '1 second' * (n % 1000) / 100, :batch, 'jobs', 0, n, 1, 'w',
  CASE WHEN n % 97 = 0 THEN NULL WHEN n % 11 = 0 THEN 'cache' ELSE 'model' END
FROM (
  SELECT n, CAST(:end AS timestamptz) - interval '365 days' * (CAST(:all - n AS double precision) / :all) AS made
  FROM generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) AS n
) AS numbered JOIN sentence ON number = n % :sentences
RETURNING job_id, kafka_offset)
INSERT INTO search_document (number, job_id, document)
SELECT kafka_offset, job_id, document FROM written JOIN sentence ON number = kafka_offset % :sentences
"""
# A batch for every 32 of these rows.
BATCHES = """
INSERT INTO batch (id, model_version_id, rows, source_pieces, padded_pieces, target_pieces, decode_seconds, device,
  worker_id, recorded_at)
SELECT gen_random_uuid(), :model, 32, 320, 330 + n % 20, 350, 0.1, 'cuda:' || n % 2, 'w',
  CAST(:end AS timestamptz) - interval '365 days' * (CAST(:all - n AS double precision) / :all)
FROM generate_series(CAST(:first AS bigint), CAST(:last AS bigint), 32) AS n
"""
# Of tables whose rows are written here; the index of a primary key or a unique constraint stays.
SECONDARY = """
SELECT indexrelid::regclass::text, replace(pg_get_indexdef(indexrelid), ' ON ONLY ', ' ON ')
FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
WHERE indrelid = ANY(ARRAY['translation', 'search_document', 'search_word']::regclass[]) AND NOT indisunique
"""
# The sums are written last.
FILLED_ROWS = "SELECT coalesce(sum(rows), 0)::bigint FROM usage_day"
FILLED_TABLES = "translation, batch, outbox, search_document, search_word, usage, usage_day, latency_day, batch_usage"


def fill(engine: Engine, sentences: Sequence[Sequence[str]], rows: int) -> None:
    """Replace the history by a year of rows, oldest first, with their documents; sums are left to upkeep."""
    with transaction(engine) as connection:
        _begin(connection, sentences, rows)
        indexes = list(connection.execute(text(SECONDARY)).tuples())
        for name, _ in indexes:
            connection.execute(text(f"DROP INDEX {name}"))
        now = closed_until(connection)
    common: dict[str, Any] = {"all": rows, "sentences": len(sentences), "model": MODEL, "batch": uuid4()}
    common["end"] = now - timedelta(minutes=1)  # rows are recorded some seconds after they were made
    with ThreadPoolExecutor(WRITERS) as writers:
        for done in writers.map(partial(_fill_part, engine, common), range(0, rows, FILLED)):
            if done % 1_000_000 == 0:
                print(f"{done:,} of {rows:,} rows", flush=True)
    for _, definition in indexes:
        with transaction(engine) as connection:
            connection.execute(text("SET LOCAL maintenance_work_mem = '512MB'"))
            connection.execute(text(definition))
    with transaction(engine) as connection:
        connection.execute(text("DROP TABLE sentence"))
        set_watermark(connection, SEARCH, now)


def filled_rows(engine: Engine) -> int:
    """How many rows of a year are there; 0 where it was never filled to its end."""
    with transaction(engine) as connection:
        found: int = connection.execute(text(FILLED_ROWS)).scalar_one()
    return found


def _begin(connection: Connection, sentences: Sequence[Sequence[str]], rows: int) -> None:
    connection.execute(text(f"TRUNCATE {FILLED_TABLES}"))
    connection.execute(text("DELETE FROM watermark"))
    connection.execute(
        text("CREATE TABLE sentence (number bigint PRIMARY KEY, source text, target text, document tsvector)")
    )
    found = [words(f"{pair[0]} {pair[1]}") for pair in sentences]
    connection.execute(
        text("INSERT INTO sentence VALUES (:number, :source, :target, CAST(:document AS tsvector))"),
        [
            {"number": number, "source": pair[0], "target": pair[1], "document": " ".join(held)}
            for number, (pair, held) in enumerate(zip(sentences, found, strict=True))
        ],
    )
    connection.execute(
        text("INSERT INTO search_word SELECT unnest(CAST(:known AS text[]))"), {"known": sorted(set().union(*found))}
    )
    register_model_version(connection, ModelVersion(MODEL, ("en",), ("fr",), "00", {}))
    for month in missing_months(connection, datetime.now(UTC) - timedelta(days=365), ahead=12):
        make_partition(connection, month)
    for run in range(0, rows, RUN):
        connection.execute(
            text(
                f"CREATE TABLE IF NOT EXISTS {partition_of(run)} PARTITION OF search_document "
                f"FOR VALUES FROM ({run}) TO ({run + RUN})"
            )
        )


def _fill_part(engine: Engine, common: Mapping[str, Any], first: int) -> int:
    bounds = {**common, "first": first, "last": min(first + FILLED, common["all"]) - 1}
    with transaction(engine) as connection:
        connection.execute(text(ROWS), bounds)
        connection.execute(text(BATCHES), bounds)
    return first
