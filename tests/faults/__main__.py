"""Runs faults of the matrix: `python -m dragoman.tests.faults [NUMBER ...]`."""

import time
from pathlib import Path
from tempfile import mkdtemp

import click
from dragoman.tests.faults.catalog import FAULTS
from dragoman.tests.faults.fault import Verdict
from dragoman.tests.faults.ground import Ground
from dragoman.tests.faults.report import write_report
from dragoman.tests.faults.running import run_fault


@click.command()
@click.argument("numbers", nargs=-1)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--folder", type=click.Path(path_type=Path), help="For journals and logs. Default: a temporary one.")
@click.option("--report", type=click.Path(path_type=Path), help="Write the table into this document.")
def main(numbers: tuple[str, ...], seed: int, folder: Path | None, report: Path | None) -> None:
    """Run the faults of these numbers, or all, and say what held."""
    root = folder or Path(mkdtemp(prefix="dragoman-faults-"))
    chosen = [fault for fault in FAULTS if not numbers or fault.number in numbers]
    verdicts = []
    click.echo(f"journals and logs are in {root}")
    with Ground() as ground:
        for fault in chosen:
            start = time.monotonic()
            verdict = run_fault(ground, fault, root / f"{fault.number}-{seed}-{time.time():.0f}", seed)
            verdicts.append(verdict)
            _tell(verdict, time.monotonic() - start)
            if report:
                write_report(report, [verdict])
    raise SystemExit(any(not verdict.passed for verdict in verdicts))


def _tell(verdict: Verdict, seconds: float) -> None:
    word = "held" if verdict.passed else "FAILED"
    bites = ", ".join(f"{times} {what}" for what, times in verdict.bites.items())
    click.echo(
        f"{verdict.fault.number:>4} {word:<7}{seconds:5.0f} s  {verdict.fault.name} ({bites}; {verdict.jobs} jobs)"
    )
    for sentence in verdict.seen:
        click.echo(f"           {sentence}")
    for problem in verdict.problems:
        click.echo(f"        !! {problem}")


if __name__ == "__main__":
    main()
