"""The table of what the faults showed, in a document between two marks. A row stays until its fault is run again."""

import re
from collections.abc import Sequence
from pathlib import Path

from dragoman.tests.faults.fault import Verdict

BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
COLUMNS = ("#", "fault", "how", "times", "what was seen", "first new row after", "at rest after", "jobs", "invariants")
HEAD = f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|"
# Of a problem, so much fits a table.
SHOWN_CHARACTERS = 160


def write_report(document: Path, verdicts: Sequence[Verdict]) -> None:
    """Put these rows into the table, in place of those of the same faults."""
    before, rest = document.read_text(encoding="utf-8").split(BEGIN)
    table, after = rest.split(END)
    rows = {found[1]: line for line in table.splitlines() if (found := re.match(r"\| (\d+\w?) \|", line))}
    rows |= {verdict.fault.number: _line(verdict) for verdict in verdicts}
    lines = [BEGIN, HEAD, *(rows[number] for number in sorted(rows, key=place)), END]
    document.write_text(before + "\n".join(lines) + after, encoding="utf-8")


def place(number: str) -> tuple[int, str]:
    """Where a fault stands in the matrix; some numbers have letters."""
    digits = re.match(r"\d+", number)
    return int(digits[0]) if digits else 0, number


def _line(verdict: Verdict) -> str:
    fault = verdict.fault
    cells = [
        fault.number,
        fault.name,
        fault.how,
        "; ".join(f"{count} {what}" for what, count in verdict.bites.items()),
        "; ".join(verdict.seen),
        _seconds(verdict.recovery_seconds),
        _seconds(verdict.rest_seconds),
        f"{verdict.jobs}",
        "held" if verdict.passed else "; ".join(_short(problem) for problem in verdict.problems),
    ]
    return "| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |"


def _short(problem: str) -> str:
    line = problem.splitlines()[0]
    return line if len(line) <= SHOWN_CHARACTERS else f"{line[:SHOWN_CHARACTERS]} ..."


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"
