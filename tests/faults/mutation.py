"""Runs the suite against broken protocols: `python -m dragoman.tests.faults.mutation [NAME ...]`.

Each mutant is played the fault that should catch it; one that is not caught is a hole in the suite.
"""

import re
import time
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp

import click
from dragoman.tests.faults.catalog import FAULTS
from dragoman.tests.faults.fault import Fault
from dragoman.tests.faults.ground import Ground
from dragoman.tests.faults.mutants import MUTANTS
from dragoman.tests.faults.running import run_fault

# The fault that brings each to light.
CAUGHT_BY = {
    "no_epoch_check": "3b",
    "no_returning_gate": "46",
    "highest_offset": "1b",
    "unknown_commit_is_success": "34b",
    "progress_first": "1b",
    "relay_without_acknowledgement": "54",
    "no_trace_answer_last": "55b",
}
BY_NUMBER = {fault.number: fault for fault in FAULTS}


def mutated(name: str) -> Fault:
    """The fault that should catch the mutant, played to it."""
    fault = BY_NUMBER[CAUGHT_BY[name]]
    return replace(fault, setup=replace(fault.setup, temper=replace(fault.setup.temper, mutant=name)))


@click.command()
@click.argument("names", nargs=-1)
@click.option("--seed", type=int, default=1, show_default=True)
def main(names: tuple[str, ...], seed: int) -> None:
    """Break the protocol in these ways, or all, and say what caught it."""
    root = Path(mkdtemp(prefix="dragoman-mutants-"))
    missed = []
    with Ground() as ground:
        for name in names or MUTANTS:
            start = time.monotonic()
            verdict = run_fault(ground, mutated(name), root / f"{name}-{start:.0f}", seed)
            invariants = [problem for problem in verdict.problems if re.match(r"I\d+:|noted", problem)]
            if not invariants:
                missed.append(name)
            word = "caught" if invariants else "MISSED"
            click.echo(f"{word} {time.monotonic() - start:4.0f} s  {name}, by fault {verdict.fault.number}")
            for problem in verdict.problems:
                click.echo(f"    {problem.splitlines()[0][:300]}")
    raise SystemExit(bool(missed))


if __name__ == "__main__":
    main()
