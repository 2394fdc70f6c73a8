"""Rows of `worker.py` about bad input: what it takes from the good jobs beside it."""

import argparse
import random
import time
from itertools import pairwise

from dragoman.benchmarks._paced_models import ChokingEcho, named
from dragoman.benchmarks._pipeline import Looker, Publishing, Work, installed
from dragoman.benchmarks._table import Row, figure
from dragoman.benchmarks._worker_arena import arena
from dragoman.benchmarks._worker_ledger import Ledger
from dragoman.benchmarks._worker_speed import different_texts, speed_row, through_worker
from dragoman.compose.local import LocalStack
from dragoman.tests.faults import poison as bad
from dragoman.tests.faults.arena import Arena
from dragoman.tests.faults.fleet import wait_until
from dragoman.tests.faults.ground import Ground
from dragoman.tests.faults.input_faults import explode
from dragoman.tests.faults.invariants import end_offsets

# One message in so many; every second of them a text that the model fails on, the others are no jobs.
POISON_EVERY = 100
NOT_TRANSLATED = "SELECT count(*) FROM translation WHERE status <> 'translated'"
ROW_TIMES = """
SELECT DISTINCT extract(epoch FROM recorded_at)::float FROM translation
WHERE kafka_topic = :topic AND kafka_partition = 0 AND recorded_at >= to_timestamp(:since) ORDER BY 1
"""


def poison(stack: LocalStack, options: argparse.Namespace, ledger: Ledger) -> list[Row]:
    """`poison-throughput-kept` and `poison-neighbours-failed`: the same load with poison in it and without."""
    clean, poisoned, failed = [], [], 0
    for turn in range(options.turns):
        work = _published(stack, options.jobs, poisons=0)
        clean.append(through_worker(work, named(ChokingEcho)))
        ledger.read(work)
        poisons = options.jobs // POISON_EVERY
        work = _published(stack, options.jobs, poisons)
        poisoned.append(through_worker(work, named(ChokingEcho)))
        ledger.read(work)
        failed += abs(int(Looker(work).value(NOT_TRANSLATED)) - poisons)
        speeds = f"{poisoned[-1].jobs_per_second:,.0f} jobs/s, {clean[-1].jobs_per_second:,.0f} without poison"
        print(f"turn {turn + 1}: {speeds}", flush=True)
    return [
        speed_row("poison-throughput-kept", (poisoned, clean), ("jobs/s", ">= 0.95")),
        figure("poison-neighbours-failed", failed, ("jobs", "0")),
    ]


def _published(stack: LocalStack, count: int, poisons: int) -> Work:
    """So many messages in the bulk lane, with so many poisons spread over them."""
    work, dice = Work(installed(stack), count), random.Random(1)
    with Publishing(work.settings) as publish:
        for number, text in enumerate(different_texts(count)):
            if number % POISON_EVERY or number // POISON_EVERY >= poisons:
                publish(text, "bulk", f"client-{number % 7}")
            elif number % (2 * POISON_EVERY):
                publish(f"{text} {bad.choking_text(dice)[1]}", "bulk", "poisoner")
            else:
                publish.message("bulk", f"poison-{number}".encode(), bad.bad_message(dice)[1] or b"")
    return work


def bomb(ground: Ground, _: argparse.Namespace, ledger: Ledger) -> list[Row]:
    """`bomb-stall-seconds`: three bombs, each in another codec, thrown into a partition under a steady load."""
    with arena(ground, ledger) as running:
        since = time.time()
        explode(running)
        stall = _longest_pause(running, since)
    return [figure("bomb-stall-seconds", stall, ("seconds without a row", "<= 10"))]


def _longest_pause(running: Arena, since: float) -> float:
    """In the partition that the bombs lie in, until it has left them behind it and has gone on."""
    topic = running.topics()[1]
    end = end_offsets(running, [topic])[topic, 0]
    wait_until(lambda: (running.leases().get((topic, 0)) or 0) > end, "the partition goes on behind the bombs")
    times: list[float] = [at for (at,) in running.query(ROW_TIMES, topic=topic, since=since)]
    return max(after - before for before, after in pairwise((since, *times)))
