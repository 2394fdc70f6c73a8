"""What the scheduler keeps of segments that are done with: next to nothing, whether or not the collector runs."""

import gc
import random
from collections.abc import Iterator

import pytest
from dragoman.model.batching import BatchLimits
from dragoman.tests.unit.worker.scheduling.simulation import AT_ONCE, FRENCH, Arrival, ordinary_length, segment
from dragoman.worker.scheduling.deadlines import IDLE_ENTRIES
from dragoman.worker.scheduling.entry import Entry
from dragoman.worker.scheduling.policy import Policy
from dragoman.worker.scheduling.scheduler import Scheduler

POLICY = Policy(BatchLimits(1_000, 20), AT_ONCE)
SEGMENTS = 20_000


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    """A worker's collector looks once in 200,000 objects: cycles must not be left to it."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def pass_through(waiting: int, clients: int, deadline_share: float, policy: Policy = POLICY) -> Scheduler:
    """Segments of all kinds, of which so many wait at any time, or none at the end of each portion of 20."""
    random_numbers = random.Random(clients)
    scheduler = Scheduler(policy)
    for number in range(SEGMENTS):
        deadline = number + 1e6 if random_numbers.random() < deadline_share else None
        client, length = f"c{random_numbers.randrange(clients)}", ordinary_length(random_numbers)
        scheduler.add(FRENCH, segment(number, Arrival(float(number), client, length, deadline_seconds=deadline)))
        if number % 20 == 0:
            while len(scheduler) > waiting and (batch := scheduler.take(number + 1.0)):
                for one in batch.segments:
                    scheduler.followers(one, number + 1.0)
    return scheduler


def kept() -> int:
    return sum(type(found) is Entry for found in gc.get_objects())


@pytest.mark.parametrize("clients", [1, 50, 5_000])
@pytest.mark.parametrize("deadline_share", [0.0, 0.5])
def test_entries_that_left_are_forgotten_while_others_always_wait(clients: int, deadline_share: float) -> None:
    before = kept()
    scheduler = pass_through(1_000, clients, deadline_share)
    assert kept() - before <= 3 * (1_000 + IDLE_ENTRIES)
    assert len(scheduler) <= 1_020


def test_entries_are_forgotten_where_every_segment_goes_alone() -> None:
    before = kept()
    pass_through(1_000, 50, 0.0, Policy(BatchLimits(1_000, 1), AT_ONCE))
    assert kept() - before <= 3 * (1_000 + IDLE_ENTRIES)


@pytest.mark.parametrize("deadline_share", [0.0, 0.5])
def test_entries_are_forgotten_when_none_waits(deadline_share: float) -> None:
    before = kept()
    scheduler = pass_through(0, 3, deadline_share)
    assert kept() - before <= 20 + 2 * IDLE_ENTRIES * (deadline_share > 0)
    assert len(scheduler) <= 20
