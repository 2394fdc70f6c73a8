"""Corrections at scale: the import of a TMX file, and what a worker pays for finding them.

    .venv/bin/python benchmarks/corrections.py [--json FILE] [--units N] [--rows N] [--batches N]

Starts a PostgreSQL of its own. `import-units-per-second` is the whole command `dragoman corrections import` with a TMX
file of N units into an empty table. Then the table is filled up to N rows: `keys-read-seconds` is how long a worker
that has just started takes to read all keys, `memory-bytes` what its process grows by, `find-p95-seconds` one call for
64 jobs of which none, or half, have a correction.
"""

import argparse
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import psutil
from dragoman.benchmarks._table import Row, figure, show
from dragoman.compose.local import LocalStack
from dragoman.schemas.ids import new_job_id
from dragoman.schemas.jobs import TranslationJob
from dragoman.storage.correction_chain import ChainNames
from dragoman.storage.engine import create_database_engine
from dragoman.storage.known_jobs import known_jobs
from dragoman.storage.migrate import upgrade
from dragoman.worker.correction_memory import CorrectionMemory
from sqlalchemy import Engine, text

UNIT = '<tu><tuv xml:lang="en"><seg>{}</seg></tuv><tuv xml:lang="fr"><seg>{}</seg></tuv></tu>\n'
HEADER = '<header creationtool="b" creationtoolversion="1" segtype="sentence" o-tmf="b" adminlang="en" srclang="en" '
COPIED = 100_000
JOBS = 64
NO_GOAL = "none set"


def source(number: int) -> str:
    return f"Sentence number {number} of a long memory says what it has to say."


def target(number: int) -> str:
    return f"La phrase {number} d'une longue mémoire dit ce qu'elle a à dire."


def imported(database_url: str, units: int) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "memory.tmx"
        with path.open("w", encoding="utf-8") as file:
            file.write(f'<?xml version="1.0"?>\n<tmx version="1.4">{HEADER}datatype="plaintext"/><body>\n')
            file.writelines(UNIT.format(source(number), target(number)) for number in range(units))
            file.write("</body></tmx>\n")
        command = [sys.executable, "-m", "dragoman", "corrections", "import", str(path), "-s", "en", "-t", "fr"]
        start = time.perf_counter()
        process = subprocess.Popen(command, env=os.environ | {"DRAGOMAN_DATABASE_URL": database_url})
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
    assert status == 0, "the import failed"
    # Linux tells kibibytes, macOS bytes.
    peak = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    processor = used.ru_utime + used.ru_stime
    return [
        figure("import-units-per-second", units / seconds, ("units/s", NO_GOAL)),
        figure("import-own-processor-seconds", processor, ("s", NO_GOAL)),
        figure("import-peak-bytes", peak, ("bytes", NO_GOAL)),
    ]


def fill(engine: Engine, first: int, rows: int) -> None:
    """Bring the table to so many rows, past the code that takes turns."""
    names = ChainNames()
    columns = "id, chain, revision, source_language, target_language, source_text, target_text, author, origin"
    with engine.connect() as connection:
        cursor = connection.connection.cursor()
        for begin in range(first, rows, COPIED):
            lines = io.StringIO("".join(_line(names, number) for number in range(begin, min(begin + COPIED, rows))))
            cursor.copy_expert(f"COPY correction ({columns}) FROM STDIN", lines)
        connection.connection.commit()
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text("VACUUM (ANALYZE) correction"))


def finding(database_url: str, rows: int, batches: int) -> list[Row]:
    """In a process of its own, whose memory nothing else has used."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_found, database_url, rows, batches).result()


def _found(database_url: str, rows: int, batches: int) -> list[Row]:
    engine = create_database_engine(database_url)
    try:
        return list(_measured(engine, rows, batches))
    finally:
        engine.dispose()


def _measured(engine: Engine, rows: int, batches: int) -> Iterator[Row]:
    process = psutil.Process()
    before = process.memory_info().rss
    memory = CorrectionMemory(engine)
    start, processor = time.perf_counter(), time.process_time()
    while not memory.knows_all:
        memory.find([], known_jobs(engine, ()).newest_correction)
    yield figure("keys-read-seconds", time.perf_counter() - start, ("s", NO_GOAL))
    yield figure("keys-read-own-processor-seconds", time.process_time() - processor, ("s", NO_GOAL))
    yield figure("memory-bytes", process.memory_info().rss - before, ("bytes", NO_GOAL))
    for name, step in (("none", 0), ("half", 2)):
        seconds = []
        for batch in range(batches):
            numbers = [batch * JOBS + n + (0 if step and n % step else rows) for n in range(JOBS)]
            jobs = [_job(number) for number in numbers]
            start = time.perf_counter()
            found = memory.find(jobs, known_jobs(engine, ()).newest_correction)
            seconds.append(time.perf_counter() - start)
            assert sum(one is not None for one in found) == (JOBS // step if step else 0)
        p95 = statistics.quantiles(seconds, n=20)[-1]
        yield figure(f"find-p95-seconds-{name}-corrected", p95, ("s", NO_GOAL), (min(seconds), max(seconds)))


def _job(number: int) -> TranslationJob:
    return TranslationJob(client_id="shop", source_text=source(number), source_language="en", target_language="fr")


def _line(names: ChainNames, number: int) -> str:
    (name,) = names.of(None, "en", "fr", source(number))
    cells = (new_job_id(), f"\\\\x{name.hex()}", 1, "en", "fr", source(number), target(number), "bench", "api")
    return "\t".join(map(str, cells)) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--units", type=int, default=100_000, help="of the TMX file")
    parser.add_argument("--rows", type=int, default=1_000_000, help="in the table that is asked")
    parser.add_argument("--batches", type=int, default=500, help="asked for, each of 64 jobs")
    options = parser.parse_args()
    with LocalStack() as stack:
        upgrade(stack.database_url)
        engine = create_database_engine(stack.database_url)
        rows = imported(stack.database_url, options.units)
        fill(engine, options.units, options.rows)
        engine.dispose()
        rows += finding(stack.database_url, options.rows, options.batches)
    show(rows, options.json)


if __name__ == "__main__":
    main()
