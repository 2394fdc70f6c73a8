"""A fault of the matrix, and what one run with it showed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from dragoman.tests.faults.arena import Arena, Setup


@dataclass(frozen=True, slots=True)
class Fault:
    """Number in the matrix, what it is, how it is done, and the strike itself."""

    number: str
    name: str
    how: str
    strike: Callable[[Arena], None]
    setup: Setup = field(default_factory=Setup)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a run showed; without problems, everything that must hold held."""

    fault: Fault
    seed: int
    bites: Mapping[str, int]
    seen: tuple[str, ...]
    recovery_seconds: float | None
    rest_seconds: float | None
    jobs: int
    problems: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return not self.problems
