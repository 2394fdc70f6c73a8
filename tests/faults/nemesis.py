"""Composes faults at random over a continuous load: `dragoman-nemesis --seed N --minutes M`.

The schedule is a pure function of the seed and the minutes: the same seed plays the same disturbances at the same
times. What the processes make of them differs from run to run, as it does in life.
"""

import random
import signal
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from shutil import copyfile
from tempfile import mkdtemp

import click
from dragoman.errors import DragomanError
from dragoman.tests.faults.arena import Arena, Setup
from dragoman.tests.faults.disturbances import ACTS, KINDS, Undo
from dragoman.tests.faults.ground import Ground
from dragoman.tests.faults.invariants import lost_so_far, violations
from dragoman.tests.faults.load import Mix
from dragoman.tests.faults.process_faults import pause
from dragoman.tests.faults.running import rest
from dragoman.tests.faults.schedule import Planned, plan
from sqlalchemy.exc import SQLAlchemyError

TICK_SECONDS = 0.2
# Between two checkpoints, at which everything is healed, finished and checked.
ROUND_SECONDS = 180.0


class Nemesis:
    """Plays schedules over one arena."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self._undoing: list[tuple[float, str, Undo]] = []
        self.struck: Counter[str] = Counter()

    def play(self, schedule: list[Planned]) -> None:
        """Play a schedule from now on, then heal everything."""
        start = time.monotonic()
        for entry in schedule:
            while (now := time.monotonic() - start) < entry.begin_seconds:
                self._tick(now)
                pause(min(TICK_SECONDS, max(0.0, entry.begin_seconds - now)))
            self._tick(now)  # what ends just before, at the same place perhaps
            self._strike(entry)
        while self._undoing:
            self._tick(time.monotonic() - start)
            pause(TICK_SECONDS)

    def _strike(self, entry: Planned) -> None:
        self._arena.note("disturbance", name=entry.name, planned=str(entry))
        undo = ACTS[entry.name](self._arena, random.Random(entry.dice))
        self.struck[entry.name] += 1
        if undo is not None:
            self._undoing.append((entry.end_seconds, entry.name, undo))

    def _tick(self, now: float) -> None:
        for entry in [entry for entry in self._undoing if entry[0] <= now]:
            self._undoing.remove(entry)
            self._arena.note("undone", name=entry[1])
            entry[2]()
        self._arena.fleet.supervise(self._arena.setup.workers)


def heal(arena: Arena) -> None:
    """Whole services and networks, and no worker left frozen."""
    arena.ground.heal()
    arena.stall_file.unlink(missing_ok=True)
    for worker in arena.fleet.running:
        worker.send(signal.SIGCONT)
    arena.fleet.supervise(arena.setup.workers)


def checkpoint(arena: Arena) -> list[str]:
    """Heal, let everything come to rest, and check every invariant."""
    heal(arena)
    early = lost_so_far(arena)
    arena.load.stop()
    try:
        arena.note("at rest", seconds=rest(arena))
    except AssertionError as error:
        return [*early, str(error), *violations(arena)]
    return [*early, *violations(arena)]


@click.command()
@click.option("--seed", type=int, required=True, help="The same seed plays the same schedule.")
@click.option("--minutes", type=float, default=10.0, show_default=True)
@click.option("--rate", type=float, default=150.0, show_default=True, help="Jobs a second.")
@click.option("--folder", type=click.Path(path_type=Path), help="For journals and logs. Default: a temporary one.")
def main(seed: int, minutes: float, rate: float, folder: Path | None) -> None:
    """Disturb workers, Kafka, PostgreSQL and the networks between them for so many minutes; check every invariant."""
    root = folder or Path(mkdtemp(prefix="dragoman-nemesis-"))
    rounds = max(1, round(minutes * 60 / ROUND_SECONDS))
    click.echo(f"seed {seed}, {rounds} rounds of {minutes * 60 / rounds:.0f} s; journals and logs are in {root}")
    schedules = [plan(seed * 1_000 + number, minutes * 60 / rounds, KINDS) for number in range(rounds)]
    setup = Setup(workers=3, mix=Mix(jobs_per_second=rate), kafka_by_proxy=True, database_by_proxy=True)
    with Ground() as ground, Arena(ground, root, seed, setup) as arena:
        problems = _rounds(arena, schedules)
        copyfile(ground.stack.kafka.log, root / "kafka.log")
    for problem in problems:
        click.echo(f"!! {problem}")
    click.echo(f"seed {seed}: {'FAILED: the same seed plays it again' if problems else 'every invariant held'}")
    raise SystemExit(bool(problems))


def _rounds(arena: Arena, schedules: list[list[Planned]]) -> list[str]:
    nemesis = Nemesis(arena)
    for number, schedule in enumerate(schedules):
        click.echo(f"round {number + 1}")
        for entry in schedule:
            click.echo(f"  {entry}")
        nemesis.play(schedule)
        problems = checkpoint(arena)
        rows = _rows(arena)
        click.echo(f"  {rows} rows; {sum(nemesis.struck.values())} disturbances; {_bites(arena)}")
        if problems:
            return problems
        if number + 1 < len(schedules):
            arena.new_load()
    return _stop(arena)


def _rows(arena: Arena) -> int:
    with suppress(SQLAlchemyError, DragomanError):
        return arena.rows()
    return -1


def _bites(arena: Arena) -> str:
    logged = (
        "settlement_to_be_repeated",
        "client_rebuilt",
        "partitions_fenced",
        "partitions_lost",
        "failpoint_reached",
    )
    counts = {name: arena.fleet.events(name) for name in logged}
    for proxy in (arena.ground.kafka_proxy, arena.ground.postgres_proxy):
        counts |= {f"{proxy.protocol} {name}": count for name, count in proxy.counts.items() if count}
    counts |= {"brokers restarted that had given up their groups": arena.ground.brokers_restarted}
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def _stop(arena: Arena) -> list[str]:
    problems = []
    for worker in arena.fleet.running:
        # One may have reached the place where it freezes only after everything was healed.
        worker.send(signal.SIGCONT)
        try:
            worker.terminate()
        except AssertionError as error:
            problems.append(str(error))
    return problems


if __name__ == "__main__":
    main()
