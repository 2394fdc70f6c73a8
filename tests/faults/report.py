"""The table of what the faults showed, in a document between two marks."""

from collections.abc import Sequence
from pathlib import Path

from dragoman.tests.faults.fault import Verdict

BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
COLUMNS = ("#", "fault", "how", "times", "what was seen", "first new row after", "at rest after", "jobs", "invariants")
HEAD = f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|"


def write_report(document: Path, verdicts: Sequence[Verdict]) -> None:
    """Put the table in place of the one that is there."""
    before, rest = document.read_text(encoding="utf-8").split(BEGIN)
    _, after = rest.split(END)
    lines = "\n".join([BEGIN, HEAD, *map(_line, verdicts), END])
    document.write_text(before + lines + after, encoding="utf-8")


def _line(verdict: Verdict) -> str:
    fault = verdict.fault
    times = "; ".join(f"{count} {what}" for what, count in verdict.bites.items())
    cells = [
        fault.number,
        fault.name,
        fault.how,
        times,
        "; ".join(verdict.seen),
        _seconds(verdict.recovery_seconds),
        _seconds(verdict.rest_seconds),
        f"{verdict.jobs}",
        "held" if verdict.passed else "; ".join(problem.splitlines()[0] for problem in verdict.problems),
    ]
    return "| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"
