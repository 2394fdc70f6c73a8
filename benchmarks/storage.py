"""The history's speed: recording beside SQLAlchemy's `session.add_all`, the documented questions, search, export.

    DRAGOMAN_CORPORA=FOLDER .venv/bin/python benchmarks/storage.py [--json FILE] [--rows N] [--turns N] [--data FOLDER]

Starts a PostgreSQL of its own with a quarter of 4 GB as its buffers. `record-over-add-all`: history rows/s into the
partitioned and indexed table by commit transactions of 1,000 rows, and of the same rows through an ORM session; two
connections side by side for each. `settle-over-add-all`: the same with everything that a worker's commit transaction
writes beside its rows (an event of 500 bytes for every job, batch, lease). Then fills the history with N rows of a
year, from sentences of Tatoeba, lets `dragoman db maintain` sum them up and asks the questions of docs/questions.md and
searches for three words: 95th percentile of seconds over all of them. At last `dragoman history export` writes all rows
to Parquet: rows/s of the whole command, and its largest resident memory. With --data the filled history stays in that
folder, and is taken as it is the next time.
"""

import argparse
import gzip
import itertools
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

from dragoman.benchmarks._prerequisites import corpus
from dragoman.benchmarks._storage_fill import MODEL, WRITERS, fill, filled_rows
from dragoman.benchmarks._table import Row, figure, row, show
from dragoman.compose.local import LocalStack, PostgresOptions, StackOptions
from dragoman.schemas.ids import new_job_id
from dragoman.storage.engine import create_database_engine, transaction
from dragoman.storage.history import search
from dragoman.storage.leases import LeaseRequest, acquire_leases
from dragoman.storage.maintenance import maintain
from dragoman.storage.migrate import upgrade
from dragoman.storage.models import ModelVersion, register_model_version
from dragoman.storage.records import BatchRow, HistoryRow, OutboxEvent, PartitionProgress, Settlement
from dragoman.storage.settlement import settle
from dragoman.storage.tables import translation
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session, registry

QUESTIONS = Path(__file__).parents[1] / "docs" / "questions.md"
SETTLEMENT_ROWS = 1_000
# Different ones; the first fill the server's memory and are not counted.
SEARCHES, FIRST_SEARCHES = 160, 40
# The usual quarter of the memory, of a small machine.
SERVER = PostgresOptions(shared_buffers_megabytes=1_024, max_wal_megabytes=4_096)
# A process of its own, because a program counts the memory of the one that started it as its own peak.
PEAK = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, used = os.wait4(process.pid, 0)
print(used.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""
T = TypeVar("T")


def recorded(sentences: Sequence[Sequence[str]], offset: int, partition: int, *, with_events: bool) -> Settlement:
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
                kafka_partition=partition,
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
    progress = (PartitionProgress("jobs", partition, 1, offset + SETTLEMENT_ROWS),)
    owed = tuple((event,) if with_events else () for event in events)
    return Settlement("g", tuple(rows), owed, progress, (batch,))


def recording(engine: Engine, sentences: Sequence[Sequence[str]], turns: int) -> list[Row]:
    """`record-over-add-all` and `settle-over-add-all`."""
    mapped: type = type("Mapped", (), {})
    registry().map_imperatively(mapped, translation)
    with transaction(engine) as connection:
        register_model_version(connection, ModelVersion(MODEL, ("en",), ("fr",), "00", {}))
        acquire_leases(connection, LeaseRequest("g", "w", tuple(("jobs", number) for number in range(WRITERS))))
    speeds: dict[str, list[float]] = {"record": [], "settle": [], "add_all": []}
    counted = itertools.count(0, SETTLEMENT_ROWS)
    made = partial(_made, sentences, counted)
    for turn in range(turns + 1):
        speeds["record"].append(_rows_per_second(made(10, with_events=False), partial(settle, engine)))
        speeds["settle"].append(_rows_per_second(made(10, with_events=True), partial(settle, engine)))
        objects = [[_objects(mapped, one) for one in ones] for ones in made(2, with_events=False)]
        speeds["add_all"].append(_rows_per_second(objects, partial(_add_all, engine)))
        told = ", ".join(f"{name} {found[-1]:,.0f}" for name, found in speeds.items())
        print(f"turn {turn}: rows/s: {told}", flush=True)
    medians = {name: statistics.median(found[1:]) for name, found in speeds.items()}
    rows = []
    for name, goal in (("record", ">= 5, and ours >= 30,000"), ("settle", "no goal")):
        ratios = [own / other for own, other in zip(speeds[name][1:], speeds["add_all"][1:], strict=True)]
        rows.append(row(f"{name}-over-add-all", (medians[name], medians["add_all"]), ratios, ("rows/s", goal)))
    return rows


def _made(
    sentences: Sequence[Sequence[str]], counted: Iterator[int], transactions: int, *, with_events: bool
) -> list[list[Settlement]]:
    """Commit transactions for every writer."""
    return [
        [recorded(sentences, next(counted), writer, with_events=with_events) for _ in range(transactions)]
        for writer in range(WRITERS)
    ]


def _objects(mapped: type, settlement: Settlement) -> list[object]:
    return [_object(mapped, entry) for entry in settlement.rows]


def _object(mapped: type, entry: HistoryRow) -> object:
    found = mapped()
    for name, value in entry._asdict().items():
        setattr(found, name, dict(value) if name in ("options", "metadata") else value)
    return found


def _add_all(engine: Engine, objects: Sequence[object]) -> None:
    with Session(engine) as session, session.begin():
        session.add_all(objects)


def _rows_per_second(work: Sequence[Sequence[T]], write: Callable[[T], object]) -> float:
    """Let every writer do its transactions, all at once."""

    def all_of(ones: Sequence[T]) -> None:
        for one in ones:
            write(one)

    with ThreadPoolExecutor(len(work)) as writers:
        start = time.perf_counter()
        list(writers.map(all_of, work))
        return sum(map(len, work)) * SETTLEMENT_ROWS / (time.perf_counter() - start)


def summed_up(engine: Engine) -> None:
    """What upkeep does to a history that was filled."""
    start = time.perf_counter()
    done = maintain(engine)
    print(f"upkeep: {done.rows_summed_up:,} rows summed up in {time.perf_counter() - start:.0f} s", flush=True)
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
    for _ in range(FIRST_SEARCHES + SEARCHES):
        held = numbers.choice([pair for pair in numbers.sample(list(sentences), 50) if len(pair[0].split()) >= 3])
        asked = numbers.sample(held[0].split(), 3)

        def look(words: Sequence[str] = asked) -> None:
            with transaction(engine) as connection:
                assert search(connection, words)

        found.append(_seconds(look))
    return found[FIRST_SEARCHES:]


def exports(database_url: str, turns: int) -> list[Row]:
    """`export-rows-per-second` and `export-peak-bytes` of the command, its start and end included."""
    speeds, peaks = [], []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "history.parquet"
        command = [sys.executable, "-m", "dragoman", "history", "export", str(path), "--force"]
        environment = os.environ | {"DRAGOMAN_DATABASE_URL": database_url}
        for _ in range(turns):
            start = time.perf_counter()
            told = subprocess.run(
                [sys.executable, "-c", PEAK, *command], env=environment, check=True, capture_output=True
            )
            speeds.append(_rows_of(path) / (time.perf_counter() - start))
            # Linux tells kibibytes, macOS bytes.
            peaks.append(int(told.stdout) * (1 if sys.platform == "darwin" else 1024))
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
    parser.add_argument("--data", type=Path, help="keep the filled history in this folder, or take the one in it")
    options = parser.parse_args()
    with gzip.open(corpus("tatoeba/train.en-fr.tsv.gz"), "rt", encoding="utf-8") as lines:
        sentences = [line.rstrip("\n").split("\t") for line in lines]
    rows: list[Row] = []
    with LocalStack(StackOptions(data_dir=options.data, postgres=SERVER)) as stack:
        upgrade(stack.database_url)
        engine = create_database_engine(stack.database_url)
        if not filled_rows(engine):
            rows += recording(engine, sentences, options.turns)
            fill(engine, sentences, options.rows)
            summed_up(engine)
        filled = filled_rows(engine)
        print(f"{filled:,} rows are asked", flush=True)
        rows.append(_p95("questions-p95-seconds", questions(engine, options.turns), "< 0.2"))
        rows.append(_p95("search-p95-seconds", searches(engine, sentences[:filled]), "< 0.3"))
        rows += exports(stack.database_url, options.turns)
        engine.dispose()
    show(rows, options.json)


if __name__ == "__main__":
    main()
