"""The history's speed: recording beside SQLAlchemy's `session.add_all`, the documented questions, search, export.

    DRAGOMAN_CORPORA=FOLDER .venv/bin/python benchmarks/storage.py [--json FILE] [--rows N] [--turns N]

Starts a PostgreSQL of its own. `record-over-add-all`: rows/s of commit transactions of 1,000 rows (history, outbox,
batch, lease) into the partitioned and indexed table, and of the same history rows through an ORM session. Then fills
the history with N rows of a year, from sentences of Tatoeba, lets `dragoman db maintain` do its work and asks the
questions of docs/questions.md and searches for three words: 95th percentile of seconds over all of them. At last
`dragoman history export` writes all rows to Parquet: rows/s of the whole command, and its largest resident memory.
"""

import argparse
import gzip
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import uuid4

from dragoman.benchmarks._prerequisites import corpus
from dragoman.benchmarks._table import Row, figure, row, show
from dragoman.compose.local import LocalStack
from dragoman.schemas.ids import new_job_id
from dragoman.storage.engine import create_database_engine, transaction
from dragoman.storage.history import search
from dragoman.storage.leases import LeaseRequest, acquire_leases
from dragoman.storage.maintenance import maintain
from dragoman.storage.migrate import upgrade
from dragoman.storage.models import ModelVersion, register_model_version
from dragoman.storage.partitions import make_partition, missing_months
from dragoman.storage.records import BatchRow, HistoryRow, OutboxEvent, PartitionProgress, Settlement
from dragoman.storage.settlement import settle
from dragoman.storage.tables import translation
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session, registry

QUESTIONS = Path(__file__).parents[1] / "docs" / "questions.md"
SETTLEMENT_ROWS = 1_000
MODEL = "m"
SEARCHES = 40
# Rows of one statement that fills the history.
FILLED = 100_000
FILL = """
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
  SELECT n, now() - interval '365 days' + interval '365 days' * n / :all AS made
  FROM generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) AS n
) AS numbered JOIN sentence ON number = n % :sentences
"""

# A batch for every 32 of these rows.
FILL_BATCHES = """
INSERT INTO batch (id, model_version_id, rows, source_pieces, padded_pieces, target_pieces, decode_seconds, device,
  worker_id, recorded_at)
SELECT gen_random_uuid(), :model, 32, 320, 330 + n % 20, 350, 0.1, 'cuda:' || n % 2, 'w',
  now() - interval '365 days' + interval '365 days' * n / :all
FROM generate_series(CAST(:first AS bigint), CAST(:last AS bigint), 32) AS n
"""


def recorded(sentences: Sequence[Sequence[str]], offset: int) -> Settlement:
    """What one commit transaction writes."""
    now, batch_id, rows, events = datetime.now(UTC), uuid4(), [], []
    for number in range(offset, offset + SETTLEMENT_ROWS):
        source, target = sentences[number % len(sentences)][:2]
        job_id = new_job_id()
        rows.append(
            HistoryRow(
                job_id=job_id,
                client_id=f"client-{number % 7}",
                lane="bulk",
                source_language="en",
                target_language="fr",
                source_text=source,
                status="translated",
                submitted_at=now,
                admitted_at=now,
                kafka_topic="jobs",
                kafka_partition=0,
                kafka_offset=number,
                lease_epoch=1,
                worker_id="w",
                target_text=target,
                score=-1.5,
                model_version_id=MODEL,
                source_pieces=8,
                target_pieces=9,
                started_at=now,
                batch_id=batch_id,
                answered_by="model",
            )
        )
        headers = (("content-type", "application/json"), ("ce_id", str(job_id)), ("ce_time", now.isoformat()))
        events.append(OutboxEvent(uuid4(), job_id, "results", b"key", headers, b"x" * 500))
    batch = BatchRow(
        id=batch_id,
        model_version_id=MODEL,
        rows=SETTLEMENT_ROWS,
        source_pieces=8_000,
        padded_pieces=8_100,
        target_pieces=9_000,
        decode_seconds=0.5,
        device="cpu",
        worker_id="w",
    )
    progress = (PartitionProgress("jobs", 0, 1, offset + SETTLEMENT_ROWS),)
    return Settlement("g", tuple(rows), tuple((event,) for event in events), progress, (batch,))


def recording(engine: Engine, sentences: Sequence[Sequence[str]], turns: int) -> Row:
    """`record-over-add-all`."""
    mapped: type = type("Mapped", (), {})
    registry().map_imperatively(mapped, translation)
    with transaction(engine) as connection:
        register_model_version(connection, ModelVersion(MODEL, ("en",), ("fr",), "00", {}))
        acquire_leases(connection, LeaseRequest("g", "w", (("jobs", 0),)))
    ours, peer, offset = [], [], 0
    for turn in range(turns + 1):
        settlements = [recorded(sentences, offset + SETTLEMENT_ROWS * n) for n in range(10)]
        offset += 10 * SETTLEMENT_ROWS
        ours.append(_rows_per_second(10, partial(_settle_all, engine, settlements)))
        objects = [_object(mapped, entry) for entry in recorded(sentences, offset).rows]
        peer.append(_rows_per_second(1, partial(_add_all, engine, objects)))
        print(f"turn {turn}: {ours[-1]:,.0f} rows/s, session.add_all {peer[-1]:,.0f}", flush=True)
    ratios = [own / other for own, other in zip(ours[1:], peer[1:], strict=True)]
    medians = statistics.median(ours[1:]), statistics.median(peer[1:])
    return row("record-over-add-all", medians, ratios, ("rows/s", ">= 5, and ours >= 30,000"))


def _object(mapped: type, entry: HistoryRow) -> object:
    found = mapped()
    for name, value in entry._asdict().items():
        setattr(found, name, dict(value) if name in ("options", "metadata") else value)
    return found


def _add_all(engine: Engine, objects: Sequence[object]) -> None:
    with Session(engine) as session, session.begin():
        session.add_all(objects)


def _settle_all(engine: Engine, settlements: Sequence[Settlement]) -> None:
    for one in settlements:
        settle(engine, one)


def _rows_per_second(transactions: int, action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return transactions * SETTLEMENT_ROWS / (time.perf_counter() - start)


def fill(engine: Engine, sentences: Sequence[Sequence[str]], rows: int) -> None:
    """A year of rows, oldest first, with documents and sums."""
    with transaction(engine) as connection:
        names = "translation, batch, outbox, search_document, search_word, usage, usage_day, latency_day, batch_usage"
        connection.execute(text(f"TRUNCATE {names}"))
        connection.execute(text("DELETE FROM watermark"))
        connection.execute(text("CREATE TABLE sentence (number bigint PRIMARY KEY, source text, target text)"))
        connection.execute(
            text("INSERT INTO sentence VALUES (:number, :source, :target)"),
            [{"number": number, "source": pair[0], "target": pair[1]} for number, pair in enumerate(sentences)],
        )
        for month in missing_months(connection, datetime.now(UTC) - timedelta(days=365), ahead=12):
            make_partition(connection, month)
    for first in range(0, rows, FILLED):
        bounds = {"first": first, "last": min(first + FILLED, rows) - 1, "all": rows}
        with transaction(engine) as connection:
            connection.execute(text(FILL), bounds | {"sentences": len(sentences), "model": MODEL, "batch": uuid4()})
            connection.execute(text(FILL_BATCHES), bounds | {"model": MODEL})
        if first % 1_000_000 == 0:
            print(f"{first:,} of {rows:,} rows", flush=True)
    start = time.perf_counter()
    done = maintain(engine)
    print(f"upkeep of {done.documents:,} rows: {time.perf_counter() - start:.0f} s, {len(done.partitions)} partitions")
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text("VACUUM ANALYZE"))


def questions(engine: Engine, turns: int) -> list[float]:
    """Seconds of every documented question, in every turn."""
    found = []
    statements = re.findall(r"## (.*?)\n.*?```sql\n(.*?)```", QUESTIONS.read_text(encoding="utf-8"), re.DOTALL)
    for title, statement in statements:
        seconds = [_seconds(partial(_ask, engine, statement)) for _ in range(turns + 1)][1:]
        print(f"{statistics.median(seconds):8.3f} s  {title}", flush=True)
        found += seconds
    return found


def searches(engine: Engine, sentences: Sequence[Sequence[str]]) -> list[float]:
    """Seconds of searches for three words of a sentence that is there."""
    numbers, found = random.Random(1), []
    for _ in range(SEARCHES):
        held = numbers.choice([pair for pair in numbers.sample(list(sentences), 50) if len(pair[0].split()) >= 3])
        asked = numbers.sample(held[0].split(), 3)

        def look(words: Sequence[str] = asked) -> None:
            with transaction(engine) as connection:
                assert search(connection, words)

        found.append(_seconds(look))
    return found


def exports(database_url: str, turns: int) -> list[Row]:
    """`export-rows-per-second` and `export-peak-bytes` of the command, its start and end included."""
    speeds, peaks = [], []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "history.parquet"
        command = [sys.executable, "-m", "dragoman", "history", "export", str(path), "--force"]
        for _ in range(turns):
            start = time.perf_counter()
            process = subprocess.Popen(command, env=os.environ | {"DRAGOMAN_DATABASE_URL": database_url})
            _, status, used = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - start
            assert status == 0, "the export failed"
            speeds.append(_rows_of(path) / seconds)
            # Linux tells kibibytes, macOS bytes.
            peaks.append(used.ru_maxrss * (1 if sys.platform == "darwin" else 1024))
    spread = min(speeds), max(speeds)
    return [
        figure("export-rows-per-second", statistics.median(speeds), ("rows/s", ">= 150,000"), spread),
        figure("export-peak-bytes", max(peaks), ("bytes", "< 300,000,000"), (min(peaks), max(peaks))),
    ]


def _rows_of(path: Path) -> int:
    from pyarrow.parquet import read_metadata

    rows: int = read_metadata(path).num_rows
    return rows


def _ask(engine: Engine, statement: str) -> None:
    with transaction(engine) as connection:
        connection.exec_driver_sql(statement.replace("%", "%%") if "%" in statement else statement).all()


def _seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def _p95(name: str, seconds: Sequence[float], goal: str) -> Row:
    ordered = sorted(seconds)
    p95 = ordered[int(0.95 * (len(ordered) - 1))]
    return figure(name, p95, ("s", goal), (ordered[0], ordered[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rows", type=int, default=2_000_000, help="of the year that is asked")
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    with gzip.open(corpus("tatoeba/train.en-fr.tsv.gz"), "rt", encoding="utf-8") as lines:
        sentences = [line.rstrip("\n").split("\t") for line in lines]
    with LocalStack() as stack:
        upgrade(stack.database_url)
        engine = create_database_engine(stack.database_url)
        rows = [recording(engine, sentences, options.turns)]
        fill(engine, sentences, options.rows)
        rows.append(_p95("questions-p95-seconds", questions(engine, options.turns), "< 0.2"))
        rows.append(_p95("search-p95-seconds", searches(engine, sentences[: options.rows]), "< 0.3"))
        rows += exports(stack.database_url, options.turns)
        engine.dispose()
    show(rows, options.json)


if __name__ == "__main__":
    main()
