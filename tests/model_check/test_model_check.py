"""The delivery protocol holds in every state that can be reached, and every mistake we could think of shows."""

import pytest
from dragoman.tests.model_check.invariants import EVERYTHING_GETS_DONE
from dragoman.tests.model_check.protocol import Protocol
from dragoman.tests.model_check.search import Report, Search
from dragoman.tests.model_check.state import Bounds
from dragoman.tests.model_check.variants import BROKEN, HARMLESS

MOST_STEPS = 17
# Every run of so many steps; the longest counterexample of a mistake below has 13.
LARGE = Bounds(log=((0, 1, 0), (1,)), disturbances=2, steps=MOST_STEPS)
SMALL = Bounds(log=((0, 1), (0,)), disturbances=1)
# Whether all gets done is judged where every run has been followed to its end.
CALM = SMALL._replace(disturbances=0)
NARROW = Bounds(log=((0, 1, 0),), disturbances=1)
EXPIRING = Bounds(log=((0, 1),), disturbances=2, retention=True)
FEWEST_STATES = 1_000_000


def search(protocol: type[Protocol], bounds: Bounds) -> Report:
    report = Search(protocol(bounds)).report
    print(f"{protocol.__name__}: {report}")  # noqa: T201 - what the search saw, for `pytest -s` and failures
    return report


@pytest.mark.timeout(600)
def test_every_invariant_holds_in_more_than_a_million_states() -> None:
    report = search(Protocol, LARGE)
    assert report.violated is None, report
    assert report.states >= FEWEST_STATES


@pytest.mark.parametrize("bounds", [NARROW, CALM], ids=["one partition, disturbed", "two partitions, undisturbed"])
def test_everything_gets_done_from_every_state(bounds: Bounds) -> None:
    report = search(Protocol, bounds)
    assert report.violated is None, report


def test_messages_are_recorded_or_in_the_quarantine_when_retention_overtakes_the_workers() -> None:
    report = search(Protocol, EXPIRING)
    assert report.violated is None, report


@pytest.mark.parametrize(("variant", "invariant"), BROKEN.items(), ids=[variant.__name__ for variant in BROKEN])
def test_the_check_names_what_a_mistake_breaks(variant: type[Protocol], invariant: str) -> None:
    report = search(variant, CALM if invariant == EVERYTHING_GETS_DONE else SMALL)
    assert report.violated == invariant, report
    assert len(report.trace) <= MOST_STEPS  # so the large search would have met it


@pytest.mark.parametrize("variant", HARMLESS, ids=[variant.__name__ for variant in HARMLESS])
def test_the_check_is_silent_when_a_change_breaks_nothing(variant: type[Protocol]) -> None:
    report = search(variant, NARROW)
    assert report.violated is None, report
