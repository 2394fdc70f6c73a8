"""What the benchmarks print and write: rows of ours beside a peer's. Knows no models."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison; `ratio` is a median, `low` and `high` its spread, `goal` what the ratio should be."""

    name: str
    ours: float
    peer: float
    unit: str
    ratio: float
    low: float
    high: float
    goal: str


def row(name: str, sides: Sequence[float], ratios: Sequence[float], told: tuple[str, str]) -> Row:
    """A row of (ours, peer) and of the ratios seen; `told` is (unit, goal)."""
    return Row(name, sides[0], sides[1], told[0], statistics.median(ratios), min(ratios), max(ratios), told[1])


def figure(name: str, value: float, told: tuple[str, str], spread: tuple[float, float] | None = None) -> Row:
    """A row of a plain figure that no peer stands beside; `told` is (unit, goal)."""
    low, high = spread or (value, value)
    return Row(name, value, 0.0, told[0], value, low, high, told[1])


def show(rows: Sequence[Row], json_file: Path | None) -> None:
    """Print the table; write it to `json_file` too if there is one."""
    width = max(len(row.name) for row in rows) + 2
    print(f"{'':<{width}}{'ours':>10}{'peer':>10}{'ratio':>8}   spread")
    for row in rows:
        print(
            f"{row.name:<{width}}{row.ours:>10.4g}{row.peer:>10.4g}{row.ratio:>8.2f}   "
            f"{row.low:.2f} to {row.high:.2f}   {row.unit}, goal {row.goal}"
        )
    if json_file:
        json_file.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
