"""What the nemesis will do follows from its seed."""

from itertools import combinations

from dragoman.tests.faults.disturbances import ACTS, KINDS
from dragoman.tests.faults.schedule import MOST_AT_ONCE, Planned, plan
from hypothesis import given
from hypothesis import strategies as st

SEEDS = st.integers(0, 10**9)
SECONDS = 600.0


def overlapping(schedule: list[Planned], moment: float) -> list[Planned]:
    return [entry for entry in schedule if entry.begin_seconds <= moment < entry.end_seconds]


@given(SEEDS)
def test_a_seed_plans_the_same_again(seed: int) -> None:
    assert plan(seed, SECONDS, KINDS) == plan(seed, SECONDS, KINDS)


@given(SEEDS)
def test_never_more_than_three_disturbances_last_at_once(seed: int) -> None:
    schedule = plan(seed, SECONDS, KINDS)

    assert max(len(overlapping(schedule, entry.begin_seconds)) for entry in schedule) <= MOST_AT_ONCE


@given(SEEDS)
def test_disturbances_of_one_place_never_overlap(seed: int) -> None:
    schedule = plan(seed, SECONDS, KINDS)

    pairs = [(a, b) for a, b in combinations(schedule, 2) if a.place == b.place]
    assert all(a.end_seconds < b.begin_seconds for a, b in pairs)


def test_every_kind_has_its_act() -> None:
    assert {kind.name for kind in KINDS} == ACTS.keys()
