"""Rows of `worker.py` about speed: a worker beside a bare loop, and beside the bare engine."""

import argparse
import gzip
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg2
from dragoman.benchmarks._pipeline import PATIENCE_SECONDS, Work, published, worker
from dragoman.benchmarks._prerequisites import corpus
from dragoman.benchmarks._table import Row, row
from dragoman.benchmarks._widened_model import widen
from dragoman.benchmarks._worker_ledger import Ledger
from dragoman.compose.local import LocalStack
from dragoman.model.shipped import default_checkpoint
from dragoman.schemas.topics import JOBS_BULK, RESULTS

BARE_LOOP = Path(__file__).parent / "peers" / "bare_loop.py"
ECHO_TEXTS = (
    "Good morning.",
    "The train to the coast leaves at nine and arrives before noon.",
    "Nobody in the village remembered when the old bridge had been built, or by whom, or what had stood there before.",
    "Please close the window.",
)
LOOK_SECONDS = 0.02


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


def different_texts(count: int) -> list[str]:
    """So many texts of four lengths; no two are equal, because equal ones are translated once."""
    return [f"{ECHO_TEXTS[number % len(ECHO_TEXTS)]} {number}" for number in range(count)]


def echo(stack: LocalStack, options: argparse.Namespace, ledger: Ledger) -> list[Row]:
    """`echo-over-bare-loop`."""
    texts = different_texts(options.jobs)
    ours, peer = [], []
    for turn in range(options.turns):
        work = published(stack, texts, options.jobs)
        ours.append(through_worker(work, ["--echo"]))
        ledger.read(work)
        peer.append(through_bare_loop(published(stack, texts, options.jobs)))
        speeds = f"{ours[-1].jobs_per_second:,.0f} jobs/s, bare loop {peer[-1].jobs_per_second:,.0f}"
        print(f"turn {turn + 1}: {speeds}", flush=True)
    return [speed_row("echo-over-bare-loop", (ours, peer), ("jobs/s", ">= 0.5, and ours >= 15,000"))]


def end_to_end(stack: LocalStack, options: argparse.Namespace, ledger: Ledger) -> list[Row]:
    """`end-to-end-over-engine`: different English sentences of Tatoeba through the default model, greedy."""
    return [_over_engine("end-to-end-over-engine", default_checkpoint(), (stack, options, ledger))]


def end_to_end_large(stack: LocalStack, options: argparse.Namespace, ledger: Ledger) -> list[Row]:
    """`end-to-end-over-engine-base`: the same through that model at the width and depth of OPUS-MT's base models."""
    with TemporaryDirectory(prefix="dragoman-widened-") as folder:
        widen(default_checkpoint(), Path(folder) / "widened")
        return [_over_engine("end-to-end-over-engine-base", Path(folder) / "widened", (stack, options, ledger))]


def _over_engine(name: str, checkpoint: Path, setting: tuple[LocalStack, argparse.Namespace, Ledger]) -> Row:
    stack, options, ledger = setting
    texts = _english(corpus("tatoeba/train.en-fr.tsv.gz"), options.segments)
    ours, peer = [], []
    for turn in range(options.turns):
        peer.append(through_engine(checkpoint, texts))
        work = published(stack, texts, len(texts))
        ours.append(through_worker(work, ["--model", str(checkpoint)]))
        ledger.read(work)
        speeds = f"{ours[-1].jobs_per_second:,.0f} segments/s, bare engine {peer[-1].jobs_per_second:,.0f}"
        print(f"turn {turn + 1}: {speeds}", flush=True)
    return speed_row(name, (ours, peer), ("segments/s", ">= 0.97"))


def through_engine(checkpoint: Path, texts: Sequence[str]) -> Speed:
    """Let the bare engine translate the same, from text to text."""
    program = (
        "import json, sys, time\n"
        "from pathlib import Path\n"
        "from dragoman.model.decoding import SearchOptions\n"
        "from dragoman.model.translator import Translator\n"
        "texts = json.load(sys.stdin)\n"
        "translator = Translator.load(Path(sys.argv[1]), 'cpu')\n"
        "translator.translate(texts[:200], SearchOptions(beam_size=1), target='fr')\n"
        "start = time.perf_counter()\n"
        "translator.translate(texts, SearchOptions(beam_size=1), target='fr')\n"
        "print(time.perf_counter() - start)\n"
    )
    command = [sys.executable, "-c", program, str(checkpoint)]
    told = subprocess.run(command, input=json.dumps(texts), check=True, capture_output=True, text=True)
    return Speed(len(texts), float(told.stdout))


def _english(path: Path, count: int) -> list[str]:
    """So many different segments of the file."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        texts = list(dict.fromkeys(line.split("\t")[0] for line in lines))
    return random.Random(1).sample(texts, count)


def speed_row(name: str, sides: tuple[Sequence[Speed], Sequence[Speed]], told: tuple[str, str]) -> Row:
    """Both sides' median speeds; the ratios are those of a turn each."""
    medians = [statistics.median(speed.jobs_per_second for speed in side) for side in sides]
    ratios = [own.jobs_per_second / other.jobs_per_second for own, other in zip(*sides, strict=True)]
    return row(name, medians, ratios, told)
