"""The row of `worker.py` about fairness: what a client that floods a lane costs the others."""

import argparse
import random
import statistics
import time
from collections.abc import Sequence

from dragoman.benchmarks._paced_models import PACED_ROWS_PER_SECOND, PacedEcho, named
from dragoman.benchmarks._pipeline import Looker, Publishing, Work, installed, worker
from dragoman.benchmarks._table import Row, row
from dragoman.benchmarks._worker_ledger import Ledger
from dragoman.compose.local import LocalStack

CLIENTS = 10
FLOOD_SHARE = 0.9
# Everybody sends what is due so often, in random order.
TICK_SECONDS = 0.1
FLOOD = "client-0"
WAITS = """
SELECT extract(epoch FROM started_at - submitted_at)::float FROM translation
WHERE client_id <> 'client-0' AND client_id <> 'first' ORDER BY submitted_at
"""


def fairness(stack: LocalStack, options: argparse.Namespace, ledger: Ledger) -> list[Row]:
    """`fair-share-wait-ratio`: the others' wait for a batch beside a flood, over the same when all send alike."""
    flooded, even = [], []
    for turn in range(options.turns):
        flooded.append(_p95(_waits(stack, options, ledger, FLOOD_SHARE)))
        even.append(_p95(_waits(stack, options, ledger, 1.0 / CLIENTS)))
        print(f"turn {turn + 1}: p95 {flooded[-1]:.3f} s beside a flood, {even[-1]:.3f} s without", flush=True)
    ratios = [own / other for own, other in zip(flooded, even, strict=True)]
    medians = (statistics.median(flooded), statistics.median(even))
    return [row("fair-share-wait-ratio", medians, ratios, ("seconds", f"<= 2, load {options.fair_load:g}"))]


def _p95(waits: Sequence[float]) -> float:
    return statistics.quantiles(waits, n=20)[-1]


def _waits(stack: LocalStack, options: argparse.Namespace, ledger: Ledger, share: float) -> list[float]:
    """Seconds until a batch took them, of the jobs of all clients but the first, which sends that share."""
    work = Work(installed(stack), 0)
    with worker(work, named(PacedEcho)), Publishing(work.settings) as publish:
        look = Looker(work)
        publish("Is anybody there?", "bulk", "first")
        look.wait("bulk", 1)
        sent = _send(publish, options, share)
        look.wait("bulk", sent + 1)
    ledger.read(work)
    return look.values(WAITS)


def _send(publish: Publishing, options: argparse.Namespace, share: float) -> int:
    dice, start, sent = random.Random(1), time.perf_counter(), 0
    while (now := time.perf_counter() - start) < options.fair_seconds:
        due = int(now * options.fair_load * PACED_ROWS_PER_SECOND)
        for number in range(sent, due):
            client = FLOOD if dice.random() < share else f"client-{dice.randrange(1, CLIENTS)}"
            publish(f"Please close window {number}.", "bulk", client)
        sent = due
        time.sleep(TICK_SECONDS)
    return sent
