"""Rows of `worker.py` about who shares a batch and who waits for whom: padding, interactive jobs beside a backlog."""

import argparse
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from dragoman.benchmarks._pipeline import DONE, Looker, Publishing, published, worker
from dragoman.benchmarks._table import Row, figure, row
from dragoman.benchmarks._worker_ledger import Ledger
from dragoman.benchmarks.scheduling import sentences
from dragoman.compose.local import LocalStack

# An interactive job comes every so often.
APART_SECONDS = 0.05
PADDING = "SELECT sum(padded_pieces - source_pieces)::float / sum(padded_pieces) FROM batch"
LATENCIES = """
SELECT extract(epoch FROM recorded_at - submitted_at)::float FROM translation WHERE lane = 'interactive'
ORDER BY submitted_at
"""
# 95th percentiles, in seconds: until it was admitted, until a batch took it, until its transaction began.
STAGES = """
SELECT concat_ws(', ', 'admitted ' || round(admitted::numeric, 3), 'started ' || round(started::numeric, 3),
                 'recorded ' || round(recorded::numeric, 3))
FROM (SELECT
  percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM admitted_at - submitted_at)) AS admitted,
  percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM started_at - admitted_at)) AS started,
  percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM recorded_at - started_at)) AS recorded
  FROM translation WHERE lane = 'interactive') AS stage
"""


@dataclass(frozen=True, slots=True)
class Beside:
    """Seconds from submission to history of interactive jobs, and bulk jobs a second meanwhile and just before."""

    latencies: Sequence[float]
    stages: str
    bulk_before: float = 0.0
    bulk_meanwhile: float = 0.0

    @property
    def p95_seconds(self) -> float:
        return statistics.quantiles(self.latencies, n=20)[-1]


def padding(stack: LocalStack, _: argparse.Namespace, ledger: Ledger) -> list[Row]:
    """`padding-ratio`: every English sentence of the development sets at once, through the echo model."""
    texts = [text for text in sentences() if len(text) <= 400]
    work = published(stack, texts, len(texts))
    with worker(work, ["--echo"]):
        look = Looker(work)
        look.wait("bulk", len(texts))
        share = float(look.value(PADDING))
    ledger.read(work)
    return [figure("padding-ratio", share, ("share", "<= 0.03"))]


def interactive(stack: LocalStack, options: argparse.Namespace, ledger: Ledger) -> list[Row]:
    """`interactive-p95-over-unloaded`: the same trickle of interactive jobs with and without a backlog of bulk jobs."""
    loaded, quiet = [], []
    for turn in range(options.turns):
        quiet.append(_beside(stack, options, ledger, backlog=0))
        loaded.append(_beside(stack, options, ledger, backlog=options.backlog))
        kept = loaded[-1].bulk_meanwhile / loaded[-1].bulk_before
        print(
            f"turn {turn + 1}: p95 {loaded[-1].p95_seconds:.3f} s with a backlog, {quiet[-1].p95_seconds:.3f} s alone; "
            f"bulk kept {kept:.2f} of {loaded[-1].bulk_before:,.0f} jobs/s\n"
            f"    p95 of each stage: {loaded[-1].stages}; alone: {quiet[-1].stages}",
            flush=True,
        )
    ratios = [own.p95_seconds / other.p95_seconds for own, other in zip(loaded, quiet, strict=True)]
    medians = [statistics.median(one.p95_seconds for one in side) for side in (loaded, quiet)]
    return [row("interactive-p95-over-unloaded", medians, ratios, ("seconds", "<= 1.5, and bulk keeps 0.95"))]


def _beside(stack: LocalStack, options: argparse.Namespace, ledger: Ledger, backlog: int) -> Beside:
    texts = [f"The train to the coast leaves at nine and arrives before noon. {number}" for number in range(backlog)]
    work = published(stack, texts or ["-"], backlog)
    model = [] if options.model else ["--echo"]
    with worker(work, model) as _, Publishing(work.settings) as publish:
        look = Looker(work)
        publish("Is anybody there?", "interactive", "caller")
        look.wait("interactive", 1)
        before = _rate(look) if backlog else 0.0
        start, done = time.perf_counter(), look.value(DONE, "bulk")
        for number in range(options.calls):
            publish(f"Please close window {number}.", "interactive", "caller")
            time.sleep(APART_SECONDS)
        meanwhile = (look.value(DONE, "bulk") - done) / (time.perf_counter() - start)
        look.wait("interactive", options.calls + 1)
    ledger.read(work)
    # The first one warmed the worker up.
    return Beside(look.values(LATENCIES)[1:], str(look.value(STAGES)), float(before), float(meanwhile))


def _rate(look: Looker) -> float:
    """Bulk jobs a second, over some seconds."""
    start, done = time.perf_counter(), look.value(DONE, "bulk")
    time.sleep(5.0)
    return float((look.value(DONE, "bulk") - done) / (time.perf_counter() - start))
