"""The whole pipeline beside a bare loop and beside the bare engine, on one machine with its broker and its database.

    .venv/bin/python benchmarks/worker.py [--rows NAME,...] [--json FILE] [--turns N] [--jobs N]

`echo-over-bare-loop`: jobs/s through one worker process with the echo model and the full delivery protocol, against the
least that a Python consumer can do with the same messages (`peers/bare_loop.py`). Each is timed from its first tenth
of the jobs to its last, when all of it is recorded, published and, for ours, gone from the outbox.
`end-to-end-over-engine`: segments/s of a worker with a shipped model against the bare engine on the same texts.
`padding-ratio`: share of padding in batches, all English sentences of the development sets waiting, echo model.
`interactive-p95-over-unloaded`: seconds from submission to history of a trickle of interactive jobs, with a backlog of
bulk jobs and without.
Both sides take turns, in processes of their own; a ratio is the median over turns, with its spread.
"""

import argparse
import gzip
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg2
from dragoman.benchmarks._pipeline import Work, local_stack, published, worker
from dragoman.benchmarks._prerequisites import corpus
from dragoman.benchmarks._table import Row, row, show
from dragoman.benchmarks._worker_lanes import interactive, padding
from dragoman.compose.local import LocalStack
from dragoman.schemas.topics import JOBS_BULK, RESULTS

BARE_LOOP = Path(__file__).parent / "peers" / "bare_loop.py"
ECHO_TEXTS = (
    "Good morning.",
    "The train to the coast leaves at nine and arrives before noon.",
    "Nobody in the village remembered when the old bridge had been built, or by whom, or what had stood there before.",
    "Please close the window.",
)
LOOK_SECONDS = 0.02
PATIENCE_SECONDS = 600.0
ROWS = ("echo-over-bare-loop", "end-to-end-over-engine", "padding-ratio", "interactive-p95-over-unloaded")


@dataclass(frozen=True, slots=True)
class Speed:
    """So many jobs in so many seconds."""

    jobs: float
    seconds: float

    @property
    def jobs_per_second(self) -> float:
        return self.jobs / self.seconds


def through_worker(work: Work, arguments: Sequence[str]) -> Speed:
    """Let a worker process do the work, and look at its leases in the database."""
    with worker(work, arguments) as process:
        return _watched(work, process)


def _watched(work: Work, process: "subprocess.Popen[bytes]") -> Speed:
    connection = psycopg2.connect(work.database_url)
    connection.autocommit = True
    cursor = connection.cursor()
    first: tuple[float, int] | None = None
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        cursor.execute("SELECT coalesce(sum(next_offset), 0), EXISTS (SELECT FROM outbox) FROM ingest_lease")
        done, owed = cursor.fetchone() or (0, True)
        now = time.perf_counter()
        if first is None and done >= work.count // 10:
            first = (now, int(done))
        if first and done >= work.count and not owed:
            connection.close()
            return Speed(work.count - first[1], now - first[0])
        time.sleep(LOOK_SECONDS)
    sys.exit("the worker did not finish: see its log above")


def through_bare_loop(work: Work) -> Speed:
    """Let the peer do it."""
    prefix = work.settings.topic_prefix
    topics = (JOBS_BULK.full_name(prefix), RESULTS.full_name(prefix))
    arguments = [work.settings.kafka_bootstrap_servers, *topics, work.database_url, str(work.count)]
    told = subprocess.run([sys.executable, str(BARE_LOOP), *arguments], check=True, capture_output=True, text=True)
    found = json.loads(told.stdout)
    return Speed(found["jobs"], found["seconds"])


def echo(stack: LocalStack, options: argparse.Namespace) -> Row:
    """`echo-over-bare-loop`; no two texts are equal, because equal ones are translated once."""
    texts = [f"{ECHO_TEXTS[number % len(ECHO_TEXTS)]} {number}" for number in range(options.jobs)]
    ours, peer = [], []
    for turn in range(options.turns):
        ours.append(through_worker(published(stack, texts, options.jobs), ["--echo"]))
        peer.append(through_bare_loop(published(stack, texts, options.jobs)))
        speeds = f"{ours[-1].jobs_per_second:,.0f} jobs/s, bare loop {peer[-1].jobs_per_second:,.0f}"
        print(f"turn {turn + 1}: {speeds}", flush=True)
    return _row("echo-over-bare-loop", (ours, peer), ("jobs/s", ">= 0.5, and ours >= 15,000"))


def end_to_end(stack: LocalStack, options: argparse.Namespace) -> Row:
    """`end-to-end-over-engine`: different English sentences of Tatoeba through the default model, greedy."""
    texts = _english(corpus("tatoeba/train.en-fr.tsv.gz"), options.segments)
    ours, peer = [], []
    for turn in range(options.turns):
        peer.append(through_engine(texts))
        ours.append(through_worker(published(stack, texts, len(texts)), []))
        speeds = f"{ours[-1].jobs_per_second:,.0f} segments/s, bare engine {peer[-1].jobs_per_second:,.0f}"
        print(f"turn {turn + 1}: {speeds}", flush=True)
    return _row("end-to-end-over-engine", (ours, peer), ("segments/s", ">= 0.97"))


def through_engine(texts: Sequence[str]) -> Speed:
    """Let the bare engine translate the same, from text to text."""
    program = (
        "import json, sys, time\n"
        "from dragoman.model.decoding import SearchOptions\n"
        "from dragoman.model.shipped import default_checkpoint\n"
        "from dragoman.model.translator import Translator\n"
        "texts = json.load(sys.stdin)\n"
        "translator = Translator.load(default_checkpoint(), 'cpu')\n"
        "translator.translate(texts[:200], SearchOptions(beam_size=1))\n"
        "start = time.perf_counter()\n"
        "translator.translate(texts, SearchOptions(beam_size=1))\n"
        "print(time.perf_counter() - start)\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], input=json.dumps(texts), check=True, capture_output=True, text=True
    )
    return Speed(len(texts), float(told.stdout))


def _english(path: Path, count: int) -> list[str]:
    """So many different segments of the file."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        texts = list(dict.fromkeys(line.split("\t")[0] for line in lines))
    return random.Random(1).sample(texts, count)


def _row(name: str, sides: tuple[Sequence[Speed], Sequence[Speed]], told: tuple[str, str]) -> Row:
    medians = [statistics.median(speed.jobs_per_second for speed in side) for side in sides]
    ratios = [own.jobs_per_second / other.jobs_per_second for own, other in zip(*sides, strict=True)]
    return row(name, medians, ratios, told)


MEASURES: dict[str, Callable[[LocalStack, argparse.Namespace], Row]] = dict(
    zip(ROWS, (echo, end_to_end, padding, interactive), strict=True)
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", help=f"which, by comma, of {', '.join(ROWS)}; default: all")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=60_000, help="of a turn with the echo model")
    parser.add_argument("--segments", type=int, default=6_000, help="of a turn with a real model")
    parser.add_argument("--backlog", type=int, default=100_000, help="bulk jobs that wait beside interactive ones")
    parser.add_argument("--calls", type=int, default=200, help="interactive jobs of a turn")
    parser.add_argument("--model", action="store_true", help="interactive jobs through the default model, not the echo")
    options = parser.parse_args()
    names = options.rows.split(",") if options.rows else list(ROWS)
    if not set(names) <= set(ROWS):
        sys.exit(f"there is no row {', '.join(sorted(set(names) - set(ROWS)))}: take of {', '.join(ROWS)}")
    with local_stack() as stack:
        rows = [MEASURES[name](stack, options) for name in names]
    show(rows, options.json)


if __name__ == "__main__":
    main()
