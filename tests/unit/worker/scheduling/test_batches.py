"""What a batch is made of, and when it leaves."""

import random
from collections.abc import Iterable

import pytest
from dragoman.model.batching import BatchLimits
from dragoman.tests.unit.worker.scheduling.simulation import (
    AT_ONCE,
    FRENCH,
    Arrival,
    ordinary_length,
    segment,
)
from dragoman.worker.scheduling.batch import Batch
from dragoman.worker.scheduling.policy import Policy
from dragoman.worker.scheduling.pool import Pool
from dragoman.worker.scheduling.room import Room
from dragoman.worker.scheduling.scheduler import Scheduler
from hypothesis import given, settings
from hypothesis import strategies as st

GREEDY = FRENCH._replace(beam_size=1)
LATER = 1e6

ARRIVALS = st.lists(
    st.builds(
        Arrival,
        at_seconds=st.integers(0, 5).map(float),
        client=st.sampled_from("abc"),
        length=st.integers(2, 60),
        lane=st.sampled_from(["interactive", "bulk"]),
    ),
    min_size=1,
    max_size=60,
)
LIMITS = st.builds(
    BatchLimits,
    tokens=st.integers(60, 300),
    rows=st.integers(1, 12),
    padding_ratio=st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0]),
)


def filled(policy: Policy, arrivals: Iterable[Arrival]) -> Scheduler:
    scheduler = Scheduler(policy)
    for number, arrival in enumerate(arrivals):
        scheduler.add(FRENCH, segment(number, arrival))
    return scheduler


def of_lengths(limits: BatchLimits, lengths: Iterable[int], wait_seconds: float = 0.0) -> Scheduler:
    """Segments of one client, each a second after the one before."""
    policy = Policy(limits, {"interactive": wait_seconds, "bulk": wait_seconds})
    return filled(policy, (Arrival(float(at), "a", length) for at, length in enumerate(lengths)))


def drained(scheduler: Scheduler, room: Room | None = None) -> list[Batch]:
    return list(iter(lambda: scheduler.take(LATER, room) if room else scheduler.take(LATER), None))


def numbers(batches: Iterable[Batch]) -> list[int]:
    return [one.pieces[0] for batch in batches for one in batch.segments]


@given(arrivals=ARRIVALS, limits=LIMITS)
@settings(deadline=None)
def test_no_batch_exceeds_rows_or_budget(arrivals: list[Arrival], limits: BatchLimits) -> None:
    batches = drained(filled(Policy(limits), arrivals))
    assert all(len(batch.segments) <= limits.rows for batch in batches)
    assert all(batch.padded_pieces <= limits.tokens for batch in batches)


@given(arrivals=ARRIVALS, limits=LIMITS)
@settings(deadline=None)
def test_no_batch_is_padded_more_than_allowed(arrivals: list[Arrival], limits: BatchLimits) -> None:
    batches = drained(filled(Policy(limits), arrivals))
    assert all(b.padded_pieces - b.source_pieces <= limits.padding_ratio * b.padded_pieces for b in batches)


@given(arrivals=ARRIVALS, limits=LIMITS)
@settings(deadline=None)
def test_every_segment_leaves_exactly_once(arrivals: list[Arrival], limits: BatchLimits) -> None:
    scheduler = filled(Policy(limits), arrivals)
    assert sorted(numbers(drained(scheduler))) == list(range(len(arrivals)))
    assert len(scheduler) == 0
    assert scheduler.ready_in_seconds(LATER) is None


@given(arrivals=ARRIVALS, limits=LIMITS, rows=st.integers(1, 5), pieces=st.integers(60, 100))
@settings(deadline=None)
def test_no_batch_exceeds_what_the_device_has_free(
    arrivals: list[Arrival], limits: BatchLimits, rows: int, pieces: int
) -> None:
    batches = drained(filled(Policy(limits), arrivals), Room(rows, pieces))
    assert sorted(numbers(batches)) == list(range(len(arrivals)))
    assert all(len(batch.segments) <= rows and batch.padded_pieces <= pieces for batch in batches)


def test_segments_of_a_batch_come_shortest_first() -> None:
    (batch,) = drained(of_lengths(BatchLimits(100, 10), [7, 3, 9]))
    assert [one.length for one in batch.segments] == [3, 7, 9]


def test_a_segment_goes_alone_when_it_is_longer_than_the_budget() -> None:
    batches = drained(of_lengths(BatchLimits(16, 10), [3, 40, 3]))
    assert [[one.length for one in batch.segments] for batch in batches] == [[3, 3], [40]]


def test_a_long_segment_keeps_its_turn_until_the_device_has_room() -> None:
    scheduler = of_lengths(BatchLimits(100, 10), [50, 3, 3])
    assert scheduler.take(LATER, Room(10, 49)) is None
    batch = scheduler.take(LATER, Room(10, 50))
    assert batch is not None
    assert [one.length for one in batch.segments] == [50]


def test_a_segment_longer_than_the_room_goes_alone_when_nothing_runs_on_the_device() -> None:
    scheduler = of_lengths(BatchLimits(100, 10), [50, 3, 3])
    batch = scheduler.take(LATER, Room(10, 49, is_all=True))
    assert batch is not None
    assert [one.length for one in batch.segments] == [50]


def test_nothing_leaves_when_the_device_has_no_row_free() -> None:
    assert of_lengths(BatchLimits(100, 10), [5]).take(LATER, Room(0, 100)) is None


def test_nothing_leaves_when_nothing_waits() -> None:
    scheduler = Scheduler(Policy(BatchLimits(100, 10)))
    assert scheduler.take(LATER) is None
    assert scheduler.ready_in_seconds(0.0) is None


def test_a_segment_waits_for_others_no_longer_than_it_may() -> None:
    scheduler = of_lengths(BatchLimits(100, 10), [5, 5], wait_seconds=4.0)
    assert scheduler.ready_in_seconds(1.0) == 3.0
    assert scheduler.take(3.9) is None
    batch = scheduler.take(4.0)
    assert batch is not None
    assert len(batch.segments) == 2


def test_an_interactive_segment_waits_less_and_takes_bulk_along() -> None:
    policy = Policy(BatchLimits(100, 10), {"interactive": 1.0, "bulk": 60.0})
    scheduler = filled(policy, [Arrival(0.0, "a", 5), Arrival(0.0, "a", 5, "interactive")])
    assert scheduler.ready_in_seconds(0.0) == 1.0
    batch = scheduler.take(1.0)
    assert batch is not None
    assert [one.job.lane for one in batch.segments] == ["interactive", "bulk"]


@pytest.mark.parametrize("lengths", [[2, 2, 2], [60, 40]])
def test_a_batch_leaves_at_once_when_it_is_full(lengths: list[int]) -> None:
    scheduler = of_lengths(BatchLimits(tokens=100, rows=3), lengths, wait_seconds=100.0)
    assert scheduler.ready_in_seconds(0.0) == 0.0
    assert scheduler.take(0.0) is not None


def test_a_batch_leaves_at_once_when_it_fills_what_the_device_has_free() -> None:
    scheduler = of_lengths(BatchLimits(tokens=100, rows=10), [5, 5], wait_seconds=100.0)
    assert scheduler.take(0.0, Room(3, 100)) is None
    assert scheduler.take(0.0, Room(2, 100)) is not None


def test_pools_never_mix_and_the_one_whose_turn_comes_first_goes_first() -> None:
    scheduler = Scheduler(Policy(BatchLimits(100, 10), AT_ONCE))
    for number, pool in enumerate([GREEDY, FRENCH, GREEDY]):
        scheduler.add(pool, segment(number, Arrival(0.0, "a", 5)))
    assert [(batch.pool, len(batch.segments)) for batch in drained(scheduler)] == [(GREEDY, 2), (FRENCH, 1)]


def test_only_pools_that_the_device_may_serve_are_taken() -> None:
    scheduler = Scheduler(Policy(BatchLimits(100, 10), AT_ONCE))
    for number, pool in enumerate([GREEDY, FRENCH]):
        scheduler.add(pool, segment(number, Arrival(0.0, "a", 5)))
    room = Room(10, 100, pools=lambda pool: pool == FRENCH)
    assert [batch.pool for batch in drained(scheduler, room)] == [FRENCH]
    assert scheduler.ready_in_seconds(LATER, room) is None
    assert scheduler.ready_in_seconds(LATER) == 0.0


def test_equal_pieces_of_other_pools_are_not_the_same() -> None:
    scheduler = Scheduler(Policy(BatchLimits(100, 10), AT_ONCE))
    other_model = Pool("en", "fr", "echo@1", 4, 1.0)
    assert scheduler.add(FRENCH, segment(1, Arrival(0.0, "a", 5)))
    assert scheduler.add(other_model, segment(1, Arrival(0.0, "a", 5)))


@pytest.mark.parametrize(("waiting", "padding"), [(300, 0.3), (5_000, 0.01)])
def test_the_more_waits_the_less_is_padding(waiting: int, padding: float) -> None:
    generator = random.Random(1)
    arrivals = [Arrival(0.0, generator.choice("abc"), ordinary_length(generator)) for _ in range(waiting)]
    scheduler = filled(Policy(BatchLimits(2048, 128, 0.3)), arrivals)
    batches = [batch for _ in range(10) if (batch := scheduler.take(LATER))]
    padded = sum(batch.padded_pieces for batch in batches)
    assert 1 - sum(batch.source_pieces for batch in batches) / padded <= padding


def test_removed_segments_are_returned_and_the_others_stay() -> None:
    scheduler = of_lengths(BatchLimits(100, 10), [3, 2, 4, 2, 5])
    removed = scheduler.remove(lambda one: one.length == 2)
    assert [one.length for one in removed] == [2, 2]
    assert sorted(one.length for batch in drained(scheduler) for one in batch.segments) == [3, 4, 5]


def test_time_and_volume_of_removed_segments_are_forgotten() -> None:
    scheduler = of_lengths(BatchLimits(tokens=12, rows=10), [8, 4], wait_seconds=5.0)
    scheduler.remove(lambda one: one.length == 8)
    assert scheduler.ready_in_seconds(1.0) == 5.0
