"""Which disturbances come when: a pure function of a seed, so that a seed replays."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

MOST_AT_ONCE = 3
# Between two beginnings, at random.
SHORTEST_GAP_SECONDS, LONGEST_GAP_SECONDS = 1.0, 8.0


@dataclass(frozen=True, slots=True)
class Kind:
    """A disturbance as the schedule sees it: two that share a place never overlap."""

    name: str
    place: str
    shortest_seconds: float = 0.0
    longest_seconds: float = 0.0
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Planned:
    """One disturbance: from when to when, and a number for what is left to chance inside it."""

    begin_seconds: float
    end_seconds: float
    name: str
    place: str
    dice: int

    def __str__(self) -> str:
        lasting = f" to {self.end_seconds:7.1f}" if self.end_seconds > self.begin_seconds else ""
        return f"{self.begin_seconds:7.1f}{lasting} s  {self.name}"


def plan(seed: int, seconds: float, kinds: Sequence[Kind]) -> list[Planned]:
    """Disturbances in the order of their beginnings, never more than three at once."""
    source = random.Random(seed)
    weights = [kind.weight for kind in kinds]
    planned: list[Planned] = []
    now = 0.0
    while (now := now + source.uniform(SHORTEST_GAP_SECONDS, LONGEST_GAP_SECONDS)) < seconds:
        kind = source.choices(kinds, weights)[0]
        end = min(seconds, now + source.uniform(kind.shortest_seconds, kind.longest_seconds))
        dice = source.randrange(1_000_000)
        active = {entry.place: entry for entry in planned if entry.end_seconds >= now}
        if len(active) < MOST_AT_ONCE and kind.place not in active:
            planned.append(Planned(now, end, kind.name, kind.place, dice))
    return planned
