"""Which waiting segments go through the model together."""

from typing import Any

import pytest
from dragoman.model.batching import BatchLimits
from dragoman.worker.batcher import Batch, Batcher
from dragoman.worker.scheduling.pool import Pool
from dragoman.worker.scheduling.room import Room
from hypothesis import given, settings
from hypothesis import strategies as st

FRENCH, GREEDY = Pool("en", "fr", "echo@0", 4, 1.0), Pool("en", "fr", "echo@0", 1, 1.0)
LONG_AFTER = 1e9

LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=60)
LIMITS = st.builds(
    BatchLimits,
    tokens=st.integers(16, 200),
    rows=st.integers(1, 12),
    padding_ratio=st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0]),
)


def filled(build: Any, limits: BatchLimits, lengths: list[int], wait_seconds: float = 1.0) -> Batcher:
    """Segments of these lengths, each a second after the one before."""
    batcher = Batcher(limits, wait_seconds)
    for number, length in enumerate(lengths):
        batcher.add(FRENCH, build.segment(length, float(number)))
    return batcher


def drained(batcher: Batcher) -> list[Batch]:
    return list(iter(lambda: batcher.take(LONG_AFTER), None))


@given(lengths=LENGTHS, limits=LIMITS)
@settings(deadline=None)
def test_no_batch_exceeds_the_limits_but_a_single_row(build: Any, lengths: list[int], limits: BatchLimits) -> None:
    batches = drained(filled(build, limits, lengths))
    assert all(len(batch.segments) <= limits.rows for batch in batches)
    assert all(batch.padded_pieces <= limits.tokens or len(batch.segments) == 1 for batch in batches)


@given(lengths=LENGTHS, limits=LIMITS)
@settings(deadline=None)
def test_no_batch_is_padded_more_than_allowed(build: Any, lengths: list[int], limits: BatchLimits) -> None:
    batches = drained(filled(build, limits, lengths))
    assert all(b.padded_pieces - b.source_pieces <= limits.padding_ratio * b.padded_pieces for b in batches)


@given(lengths=LENGTHS, limits=LIMITS)
@settings(deadline=None)
def test_every_segment_leaves_exactly_once(build: Any, lengths: list[int], limits: BatchLimits) -> None:
    batcher = filled(build, limits, lengths)
    left = [segment.waiting_since_seconds for batch in drained(batcher) for segment in batch.segments]
    assert sorted(left) == [float(number) for number in range(len(lengths))]
    assert len(batcher) == 0
    assert batcher.ready_in_seconds(LONG_AFTER) is None


@given(lengths=LENGTHS, limits=LIMITS)
@settings(deadline=None)
def test_the_segment_that_waited_longest_is_in_the_next_batch(
    build: Any, lengths: list[int], limits: BatchLimits
) -> None:
    gone: set[float] = set()
    for batch in drained(filled(build, limits, lengths)):
        times = {segment.waiting_since_seconds for segment in batch.segments}
        assert min(set(map(float, range(len(lengths)))) - gone) in times
        gone |= times


@given(lengths=LENGTHS, limits=LIMITS)
@settings(deadline=None)
def test_segments_of_a_batch_are_neighbours_in_length(build: Any, lengths: list[int], limits: BatchLimits) -> None:
    batch = filled(build, limits, lengths).take(LONG_AFTER)
    assert batch is not None
    taken = [segment.length for segment in batch.segments]
    rest = sorted(lengths)
    assert taken == sorted(taken)
    assert any(rest[place : place + len(taken)] == taken for place in range(len(rest)))


def test_nothing_leaves_when_nothing_waits() -> None:
    batcher = Batcher(BatchLimits(100, 10), 0.0)
    assert batcher.take(LONG_AFTER) is None
    assert batcher.ready_in_seconds(0.0) is None


def test_a_segment_waits_for_others_no_longer_than_it_may(build: Any) -> None:
    batcher = filled(build, BatchLimits(100, 10), [5, 5], wait_seconds=4.0)
    assert batcher.ready_in_seconds(1.0) == 3.0
    assert batcher.take(3.9) is None
    batch = batcher.take(4.0)
    assert batch is not None
    assert len(batch.segments) == 2


@pytest.mark.parametrize("lengths", [[1, 1, 1], [60, 40]])
def test_a_batch_leaves_at_once_when_it_is_full(build: Any, lengths: list[int]) -> None:
    batcher = filled(build, BatchLimits(tokens=100, rows=3), lengths, wait_seconds=100.0)
    assert batcher.ready_in_seconds(0.0) == 0.0
    assert batcher.take(0.0) is not None


def test_pools_never_mix(build: Any) -> None:
    batcher = Batcher(BatchLimits(100, 10), 0.0)
    batcher.add(GREEDY, build.segment(5, 2.0))
    batcher.add(FRENCH, build.segment(5, 1.0))
    batcher.add(GREEDY, build.segment(5, 3.0))
    assert [(batch.pool, len(batch.segments)) for batch in drained(batcher)] == [(FRENCH, 1), (GREEDY, 2)]


def test_the_pool_that_waited_longest_goes_first_when_two_are_due(build: Any) -> None:
    batcher = Batcher(BatchLimits(100, 2), 10.0)
    batcher.add(FRENCH, build.segment(5, 5.0))
    batcher.add(GREEDY, build.segment(5, 0.0))
    batcher.add(FRENCH, build.segment(5, 6.0))
    assert [batcher.take(now).pool for now in (7.0, 10.0)] == [FRENCH, GREEDY]  # type: ignore[union-attr]


def test_removed_segments_are_returned_and_the_others_stay(build: Any) -> None:
    batcher = filled(build, BatchLimits(100, 10), [3, 1, 4, 1, 5])
    removed = batcher.remove(lambda segment: segment.length == 1)
    assert [segment.length for segment in removed] == [1, 1]
    assert [segment.length for batch in drained(batcher) for segment in batch.segments] == [3, 4, 5]


def test_time_and_volume_of_removed_segments_are_forgotten(build: Any) -> None:
    batcher = filled(build, BatchLimits(tokens=10, rows=10), [8, 4], wait_seconds=5.0)
    batcher.remove(lambda segment: segment.length == 8)
    assert batcher.ready_in_seconds(1.0) == 5.0


def test_little_is_padded_when_many_segments_wait(build: Any) -> None:
    lengths = [(7 * number) % 50 + 1 for number in range(1_000)]
    batches = drained(filled(build, BatchLimits(tokens=512, rows=64, padding_ratio=0.15), lengths))
    padded = sum(batch.padded_pieces for batch in batches)
    assert sum(batch.source_pieces for batch in batches) == sum(lengths)
    assert 1 - sum(lengths) / padded < 0.1


def test_a_batch_keeps_to_the_room_of_the_device(build: Any) -> None:
    batch = filled(build, BatchLimits(100, 10), [5, 5, 5, 5], wait_seconds=0.0).take(9.0, Room(3, 10))
    assert batch is not None
    assert len(batch.segments) == 2


def test_a_pool_waits_when_the_device_does_not_take_it(build: Any) -> None:
    batcher = filled(build, BatchLimits(100, 10), [5], wait_seconds=0.0)
    assert batcher.take(9.0, Room(3, 10, lambda pool: pool == GREEDY)) is None
