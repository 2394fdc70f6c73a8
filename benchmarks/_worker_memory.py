"""The row of `worker.py` about memory: a worker with a long backlog beside one with a short one."""

import argparse
import sys
import time
from pathlib import Path
from statistics import median

from confluent_kafka import Producer
from dragoman.benchmarks._pipeline import TOPICS, Looker, Work, installed, worker
from dragoman.benchmarks._table import Row, row
from dragoman.benchmarks._worker_ledger import Ledger
from dragoman.compose.local import LocalStack
from dragoman.schemas.codec import encode
from dragoman.schemas.ids import new_job_id
from dragoman.schemas.jobs import TranslationJob, TranslationOptions

TEXT = "The train to the coast leaves at nine and arrives before noon."
MEBIBYTE = 1_048_576


def memory(stack: LocalStack, options: argparse.Namespace, ledger: Ledger) -> list[Row]:
    """`backlog-memory-ratio`: most resident memory until `--memory-jobs` are done, with that backlog and a long one.

    The worker with the long one goes on until `--memory-done`, and its peak until then is printed.
    """
    long, short = [], []
    for turn in range(options.turns):
        short.append(_peak(stack, options.memory_jobs, options, ledger))
        long.append(_peak(stack, options.memory_backlog, options, ledger))
        print(f"turn {turn + 1}: {long[-1]:.1f} MiB, {short[-1]:.1f} with a short backlog", flush=True)
    ratios = [own / other for own, other in zip(long, short, strict=True)]
    goal = f"<= 1.05, {options.memory_backlog:,} jobs over {options.memory_jobs:,}"
    return [row("backlog-memory-ratio", (median(long), median(short)), ratios, ("MiB", goal))]


def _peak(stack: LocalStack, backlog: int, options: argparse.Namespace, ledger: Ledger) -> float:
    """Mebibytes, when `--memory-jobs` of the backlog are done."""
    work = Work(installed(stack), backlog)
    start = time.perf_counter()
    _publish_fast(work)
    print(f"{backlog:,} jobs published, {backlog / (time.perf_counter() - start):,.0f} a second", flush=True)
    with worker(work, ["--echo"]) as process:
        Looker(work).wait("bulk", options.memory_jobs)
        peak = _peak_bytes(process.pid) / MEBIBYTE
        if (until := min(backlog, options.memory_done)) > options.memory_jobs:
            Looker(work).wait("bulk", until)
            print(
                f"{_peak_bytes(process.pid) / MEBIBYTE:.1f} MiB at most when {until:,} of {backlog:,} were done",
                flush=True,
            )
    ledger.read(work)
    return peak


def _publish_fast(work: Work) -> None:
    """Different jobs, encoded once: each has its own id and a number in its text."""
    job = TranslationJob(
        client_id="backlog",
        source_text=f"{TEXT} 00000000",
        source_language="en",
        target_language="fr",
        lane="bulk",
        options=TranslationOptions(beam_size=1),
    )
    head, behind_id = encode(job).split(str(job.job_id).encode())
    middle, tail = behind_id.split(b"00000000")
    producer = Producer(
        {
            "bootstrap.servers": work.settings.kafka_bootstrap_servers,
            "compression.type": "lz4",
            "linger.ms": 50,
            "queue.buffering.max.messages": 500_000,
        }
    )
    topic = TOPICS["bulk"].full_name(work.settings.topic_prefix)
    for number in range(work.count):
        key = str(new_job_id()).encode()
        value = b"%b%b%b%08d%b" % (head, key, middle, number, tail)
        try:
            producer.produce(topic, value, key)
        except BufferError:
            producer.poll(0.5)
            producer.produce(topic, value, key)
    if left := producer.flush(120):
        sys.exit(f"Kafka did not take {left} jobs in two minutes: see its log")


def _peak_bytes(pid: int) -> int:
    """The most memory that the process ever occupied."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("this system does not tell how much memory a process has occupied: run this row on Linux")
