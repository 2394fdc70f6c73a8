"""The row of `worker.py` about work that a crash takes along: translated by the model and not recorded."""

import argparse
import sys
import time
from contextlib import ExitStack

from dragoman.benchmarks._paced_models import CountingEcho, PieceCount, counted, named
from dragoman.benchmarks._pipeline import DONE, Looker, published, worker
from dragoman.benchmarks._table import Row, figure
from dragoman.benchmarks._worker_ledger import Ledger
from dragoman.benchmarks._worker_speed import different_texts
from dragoman.tests.faults.fleet import wait_until
from dragoman.tests.faults.ground import Ground

WORKERS = 2
MINUTE_SECONDS = 60.0
RATE_SECONDS = 5.0
RECORDED = "SELECT coalesce(sum(source_pieces), 0)::bigint FROM translation WHERE answered_by = 'model'"
PATIENCE_SECONDS = 600.0


def rework(ground: Ground, options: argparse.Namespace, ledger: Ledger) -> list[Row]:
    """`rework-share`: two workers with a backlog, of which one is killed again and again; another takes its place."""
    ground.heal()
    work = published(ground.stack, different_texts(options.rework_jobs), options.rework_jobs)
    with counted() as count, ExitStack() as fleet:
        running = [fleet.enter_context(worker(work, named(CountingEcho))) for _ in range(WORKERS)]
        look = Looker(work)
        wait_until(lambda: look.value(DONE, "bulk") > work.count // 20, "the workers work", PATIENCE_SECONDS)
        rate = _pieces_per_second(count)
        for crash in range(options.crashes):
            if look.value(DONE, "bulk") > 0.9 * work.count:
                sys.exit(f"the backlog was done before crash {crash + 1}: raise --rework-jobs, or lower --crashes")
            running[crash % WORKERS].kill()
            running[crash % WORKERS] = fleet.enter_context(worker(work, named(CountingEcho)))
            time.sleep(options.crash_seconds)
        look.wait("bulk", work.count)
        translated, recorded = count.pieces(), int(look.value(RECORDED))
    ledger.read(work)
    lost = (translated - recorded) / options.crashes
    print(f"{lost:,.0f} pieces a crash in vain; {rate:,.0f} pieces/s before the first", flush=True)
    share = lost / (rate * MINUTE_SECONDS)
    return [figure("rework-share", share, (f"share at one crash a minute; {lost:,.0f} pieces a crash", "<= 0.01"))]


def _pieces_per_second(count: PieceCount) -> float:
    start, before = time.perf_counter(), count.pieces()
    time.sleep(RATE_SECONDS)
    return (count.pieces() - before) / (time.perf_counter() - start)
