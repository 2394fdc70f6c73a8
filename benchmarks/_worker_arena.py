"""A fleet of workers under a steady load of the fault suite's, for rows of `worker.py`; measures nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from dragoman.benchmarks._pipeline import Work
from dragoman.benchmarks._worker_ledger import Ledger
from dragoman.tests.faults.arena import Arena, Setup
from dragoman.tests.faults.ground import Ground
from dragoman.tests.faults.load import Mix
from dragoman.tests.faults.running import finish, rest

# Every message a job of its own; the stop takes as long as that of a worker with default settings.
SETUP = Setup(
    workers=2,
    mix=Mix(jobs_per_second=200.0, poison_share=0.0, repeated_share=0.0),
    variables=(("DRAGOMAN_DRAIN_SECONDS", "10"),),
)


@contextmanager
def arena(ground: Ground, ledger: Ledger) -> Iterator[Arena]:
    """Load and workers while the block runs; then the services are whole again, and every job is looked for."""
    with TemporaryDirectory(prefix="dragoman-bench-") as folder, Arena(ground, Path(folder), 1, SETUP) as running:
        try:
            yield running
            ground.heal()
            running.fleet.supervise(SETUP.workers)
            running.load.stop()
            rest(running)
            complaints = finish(running)
            jobs = {entry.key for entry in running.journal.snapshot() if not entry.poison}
            ledger.read_jobs(Work(running.settings, len(jobs)), jobs, complaints)
        finally:
            ground.heal()
