"""The whole pipeline on one machine with its broker and its database: how fast, how fair, and what faults cost.

    .venv/bin/python benchmarks/worker.py [--rows NAME,...] [--json FILE] [--turns N] [--jobs N]

Speed:
`echo-over-bare-loop`: jobs/s through one worker process with the echo model and the full delivery protocol, against the
least that a Python consumer can do with the same messages (`peers/bare_loop.py`). Each is timed from its first tenth
of the jobs to its last, when all of it is recorded, published and, for ours, gone from the outbox.
`end-to-end-over-engine`: segments/s of a worker with a shipped model against the bare engine on the same texts;
`end-to-end-over-engine-base`: the same with that model made as wide and deep as OPUS-MT's base models.

Who shares a batch, who waits for whom:
`padding-ratio`: share of padding in batches, all English sentences of the development sets waiting, echo model.
`interactive-p95-over-unloaded`: seconds from submission to history of a trickle of interactive jobs, with a backlog of
bulk jobs and without.
`fair-share-wait-ratio`: 95th percentile of the time until a batch takes a job, of nine clients that send a tenth of a
load beside one that sends the rest, over the same when all ten send alike.

Bad input and a long backlog:
`poison-throughput-kept`: jobs/s with one poison in a hundred messages over jobs/s without; `poison-neighbours-failed`:
good jobs that were not translated. `bomb-stall-seconds`: the longest time without a new row of a partition into which
messages were thrown that decompress to 60 MB.
`backlog-memory-ratio`: most resident memory of a worker that has a long backlog over that with a short one, both
until as many jobs are done; `--memory-backlog 5000000 --memory-done 2000000` shows what two million jobs do to it, of
which none may be lost and none done twice.

Faults, with a fleet of workers:
`takeover-after-kill-seconds`, `takeover-graceful-seconds`: from SIGKILL or SIGTERM of one of two workers until the
other records a job of a partition of the first. `sigterm-seconds-...`: until the slower of two workers has ended.
`rework-share`: pieces translated in vain, over all at one crash a minute.

Every run ends with a look at all of its jobs: `lost` have no row or no result, `twice` a second row or another result.
Two sides take turns, in processes of their own; a ratio is the median over turns, with its spread.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from dragoman.benchmarks._pipeline import local_stack
from dragoman.benchmarks._table import Row, show
from dragoman.benchmarks._worker_fairness import fairness
from dragoman.benchmarks._worker_faults import FAULT_ROWS
from dragoman.benchmarks._worker_lanes import interactive, padding
from dragoman.benchmarks._worker_ledger import Ledger
from dragoman.benchmarks._worker_memory import memory
from dragoman.benchmarks._worker_poison import bomb, poison
from dragoman.benchmarks._worker_rework import rework
from dragoman.benchmarks._worker_speed import echo, end_to_end, end_to_end_large
from dragoman.compose.local import LocalStack
from dragoman.tests.faults.ground import Ground

# Each gives its row, or several, and writes what became of the jobs into the ledger.
STACK_ROWS: dict[str, Callable[[LocalStack, argparse.Namespace, Ledger], list[Row]]] = {
    "echo-over-bare-loop": echo,
    "end-to-end-over-engine": end_to_end,
    "end-to-end-over-engine-base": end_to_end_large,
    "padding-ratio": padding,
    "interactive-p95-over-unloaded": interactive,
    "fair-share-wait-ratio": fairness,
    "poison-throughput-kept": poison,
    "backlog-memory-ratio": memory,
}
# These need services that can be frozen, and sessions that end soon.
GROUND_ROWS: dict[str, Callable[[Ground, argparse.Namespace, Ledger], list[Row]]] = {
    "bomb-stall-seconds": bomb,
    **FAULT_ROWS,
    "rework-share": rework,
}
NAMES = (*STACK_ROWS, *GROUND_ROWS)
# Of the group on that ground: partitions that one worker gives back are another's after one at most (docs/runbook.md).
HEARTBEAT_SECONDS = 0.5


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", help=f"which, by comma, of {', '.join(NAMES)}; default: all")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=60_000, help="of a turn with the echo model")
    parser.add_argument("--segments", type=int, default=6_000, help="of a turn with a real model")
    parser.add_argument("--backlog", type=int, default=100_000, help="bulk jobs that wait beside interactive ones")
    parser.add_argument("--calls", type=int, default=200, help="interactive jobs of a turn")
    parser.add_argument("--model", action="store_true", help="interactive jobs through the default model, not the echo")
    parser.add_argument("--fair-seconds", type=int, default=20, help="how long ten clients send")
    parser.add_argument("--fair-load", type=float, default=1.2, help="what they send, over what the model can do")
    parser.add_argument("--memory-backlog", type=int, default=1_000_000, help="jobs of the long backlog")
    parser.add_argument("--memory-jobs", type=int, default=50_000, help="jobs of the short one, done in both")
    parser.add_argument("--memory-done", type=int, default=0, help="go on with the long one until so many are done")
    parser.add_argument("--crashes", type=int, default=3, help="of `rework-share`")
    parser.add_argument("--crash-seconds", type=float, default=10.0, help="time between two of them")
    parser.add_argument("--rework-jobs", type=int, default=450_000, help="backlog that lasts over all crashes")
    return parser.parse_args()


def main() -> None:
    options = _options()
    names = options.rows.split(",") if options.rows else list(NAMES)
    if not set(names) <= set(NAMES):
        sys.exit(f"there is no row {', '.join(sorted(set(names) - set(NAMES)))}: take of {', '.join(NAMES)}")
    ledger, rows = Ledger(), []
    if plain := [name for name in names if name in STACK_ROWS]:
        with local_stack() as stack:
            rows += [row for name in plain for row in STACK_ROWS[name](stack, options, ledger)]
    if faulty := [name for name in names if name in GROUND_ROWS]:
        with Ground(HEARTBEAT_SECONDS) as ground:
            rows += [row for name in faulty for row in GROUND_ROWS[name](ground, options, ledger)]
    show(rows + ledger.rows(), options.json)


if __name__ == "__main__":
    main()
