"""Runs one fault from start to verdict: load and workers, strike, heal, rest, stop, invariants."""

import time
from dataclasses import dataclass
from pathlib import Path

from dragoman.tests.faults.arena import Arena
from dragoman.tests.faults.fault import Fault, Verdict
from dragoman.tests.faults.ground import Ground
from dragoman.tests.faults.invariants import at_rest, footprints, lost_so_far, progress, violations
from dragoman.tests.faults.process_faults import pause
from dragoman.tests.faults.standstill import describe_standstill

# I6: once it is healed, a run that is not at rest records something new within this. How long a backlog takes
# altogether is the machine's business.
STANDSTILL_SECONDS = 45.0


@dataclass(slots=True)
class _Times:
    recovery_seconds: float | None = None
    rest_seconds: float | None = None


def run_fault(ground: Ground, fault: Fault, folder: Path, seed: int) -> Verdict:
    """Run a fault; what goes wrong is in the verdict, never raised."""
    problems: list[str] = []
    times = _Times()
    arena: Arena | None = None
    try:
        ground.heal()
        with Arena(ground, folder, seed, fault.setup) as arena:
            try:
                _strike_and_recover(arena, fault, times)
                problems += finish(arena)
            finally:
                ground.heal()  # before the database is dropped
    except AssertionError as error:
        problems.append(str(error))
    except Exception as error:  # noqa: BLE001 - a verdict about whatever it is
        problems.append(f"{type(error).__name__}: {error}")
    if arena is None:
        return Verdict(fault, seed, {}, (), None, None, 0, tuple(problems))
    if not +arena.bites:
        problems.append("void: nothing shows that the fault struck at all")
    jobs = len(arena.journal.acknowledged) if hasattr(arena, "journal") else 0
    return Verdict(
        fault,
        seed,
        dict(arena.bites),
        tuple(arena.seen),
        times.recovery_seconds,
        times.rest_seconds,
        jobs,
        tuple(problems),
    )


def _strike_and_recover(arena: Arena, fault: Fault, times: _Times) -> None:
    arena.note("strike", fault=fault.number, name=fault.name, seed=arena.seed)
    fault.strike(arena)
    arena.ground.heal()
    arena.note("healed")
    arena.fleet.supervise(arena.setup.workers)
    times.recovery_seconds = arena.wait_rows(1)
    early = lost_so_far(arena)
    assert not early, early[0]
    arena.load.stop()
    times.rest_seconds = rest(arena)


def rest(arena: Arena) -> float:
    """Return, once everything is finished, after how many seconds; fails when nothing moves any more."""
    start = moved = time.monotonic()
    state = _state(arena)
    while not at_rest(arena):
        arena.fleet.supervise(arena.setup.workers)
        pause(0.3)
        if (now := _state(arena)) != state:
            state, moved = now, time.monotonic()
        standstill = time.monotonic() - moved
        if standstill >= STANDSTILL_SECONDS and arena.ground.restart_broker_without_groups():
            arena.note("broker restarted", why="it had given up its groups")
            arena.saw("the broker had given up its groups and was restarted (docs/runbook.md)")
            moved = time.monotonic()
            continue
        assert standstill < STANDSTILL_SECONDS, (
            f"I6: nothing has moved for {standstill:.0f} s (rows, events in the outbox: {state}); {progress(arena)}\n"
            f"{describe_standstill(arena)}"
        )
    return time.monotonic() - start


def _state(arena: Arena) -> tuple[int, int]:
    return arena.rows(), int(arena.query("SELECT count(*) FROM outbox")[0][0])


def finish(arena: Arena) -> list[str]:
    """Stop the workers of a run that is at rest; everything that is wrong then."""
    problems = footprints(arena.fleet.running)
    for worker in arena.fleet.running:
        try:
            worker.terminate()
        except AssertionError as error:
            problems.append(str(error))
    arena.note("stopped")
    return problems + violations(arena)
