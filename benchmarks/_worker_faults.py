"""Rows of `worker.py` about the end of workers: how soon another one goes on, how long an orderly end takes."""

import argparse
import signal
import time
from collections.abc import Callable, Mapping
from functools import partial

from dragoman.benchmarks._table import Row, figure
from dragoman.benchmarks._worker_arena import SETUP, arena
from dragoman.benchmarks._worker_ledger import Ledger
from dragoman.tests.faults.arena import Arena
from dragoman.tests.faults.fleet import GRACE_SECONDS, Worker, wait_until
from dragoman.tests.faults.ground import SESSION_SECONDS, Ground

# What a takeover may take beyond the time in which nobody can know that the worker is gone.
TAKEOVER_SECONDS = 2.0
# A stop that takes longer is told as it is, up to this.
PATIENCE_SECONDS = GRACE_SECONDS + 45.0
OWNED = "SELECT topic || '/' || partition FROM ingest_lease WHERE owner = :worker"
FIRST_ROW = """
SELECT extract(epoch FROM min(recorded_at))::float FROM translation
WHERE worker_id <> :worker AND recorded_at > to_timestamp(:since)
  AND kafka_topic || '/' || kafka_partition = ANY(:partitions)
"""


def takeover(
    name: str, number: signal.Signals, goal: str, ground: Ground, options: argparse.Namespace, ledger: Ledger
) -> list[Row]:
    """Seconds from the signal to one of two workers until the other records a job of a partition of the first."""
    took = []
    with arena(ground, ledger) as running:
        for turn in range(options.turns):
            took.append(_taken_over(running, number))
            print(f"turn {turn + 1}: {took[-1]:.2f} s after {number.name}", flush=True)
            running.fleet.start().wait_ready()
            wait_until(lambda: all(map(running.owned_by, running.fleet.running)), "both workers have partitions")
    return [figure(name, max(took), ("seconds, the slowest", goal), (min(took), max(took)))]


def _taken_over(running: Arena, number: signal.Signals) -> float:
    victim = running.fleet.running[0]
    worker = victim.events("worker_started")[0]["worker_id"]
    partitions = [partition for (partition,) in running.query(OWNED, worker=worker)]
    victim.expected_end = True
    since = time.time()
    victim.send(number)
    recorded: list[float] = []

    def first_row() -> bool:
        found = running.query(FIRST_ROW, worker=worker, since=since, partitions=partitions)[0][0]
        recorded.extend([] if found is None else [found])
        return bool(recorded)

    wait_until(first_row, "another worker records a job of its partitions")
    wait_until(lambda: not victim.running, "it has ended")
    return recorded[0] - since


def _nothing(_: Ground) -> None:
    """Everything runs."""


CASES: Mapping[str, Callable[[Ground], None]] = {
    "normal": _nothing,
    "kafka-frozen": lambda ground: ground.stack.kafka.pause(),
    "kafka-dead": lambda ground: ground.stack.kafka.kill(),
    "postgres-frozen": lambda ground: ground.stack.postgres.pause(),
    "postgres-dead": lambda ground: ground.stack.postgres.kill(),
}


def stop(case: str, ground: Ground, options: argparse.Namespace, ledger: Ledger) -> list[Row]:
    """Seconds from SIGTERM until the slower of two loaded workers has ended."""
    took = []
    with arena(ground, ledger) as running:
        for turn in range(options.turns):
            CASES[case](ground)
            took += _stopped(running.fleet.running)
            print(f"turn {turn + 1}, {case}: {max(took[-SETUP.workers :]):.2f} s", flush=True)
            ground.heal()
            running.fleet.start_ready(SETUP.workers)
    goal = f"<= {GRACE_SECONDS:g}"
    return [figure(f"sigterm-seconds-{case}", max(took), ("seconds, the slowest", goal), (min(took), max(took)))]


def _stopped(workers: list[Worker]) -> list[float]:
    """How long each took to end."""
    start = time.monotonic()
    for worker in workers:
        worker.expected_end = True
        worker.send(signal.SIGTERM)
    took = []
    for worker in workers:
        wait_until(lambda: not worker.running, "a worker ends after SIGTERM", PATIENCE_SECONDS)  # noqa: B023 - at once
        took.append(time.monotonic() - start)
    return took


_KILLED, _LEFT = "takeover-after-kill-seconds", "takeover-graceful-seconds"
FAULT_ROWS: Mapping[str, Callable[[Ground, argparse.Namespace, Ledger], list[Row]]] = {
    _KILLED: partial(
        takeover,
        _KILLED,
        signal.SIGKILL,
        f"<= {SESSION_SECONDS + TAKEOVER_SECONDS:g}, of which {SESSION_SECONDS:g} are the session's",
    ),
    _LEFT: partial(takeover, _LEFT, signal.SIGTERM, "<= 1"),
    **{f"sigterm-seconds-{case}": partial(stop, case) for case in CASES},
}
