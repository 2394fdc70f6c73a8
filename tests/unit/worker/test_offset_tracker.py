"""The finished prefix of a partition."""

import random
from itertools import accumulate
from typing import Any

import pytest
from dragoman.worker.offsets import OffsetTracker
from hypothesis import given, settings
from hypothesis import strategies as st

# Offsets with holes, as compaction and transaction marks leave them, and an order of finishing.
STEPS = st.lists(st.integers(1, 4), min_size=1, max_size=40)


def polled(start: int, offsets: list[int]) -> OffsetTracker:
    tracker = OffsetTracker(start)
    assert all(tracker.poll(offset) for offset in offsets)
    return tracker


@given(steps=STEPS, seed=st.integers(0, 1_000), finished=st.integers(0, 40))
@settings(deadline=None)
def test_the_next_offset_never_passes_an_unfinished_message(steps: list[int], seed: int, finished: int) -> None:
    offsets = list(accumulate(steps, initial=10))
    tracker = polled(10, offsets)
    done = set(random.Random(seed).sample(offsets, min(finished, len(offsets))))
    for offset in done:
        tracker.finish(offset)
    unfinished = [offset for offset in offsets if offset not in done]
    assert tracker.next_offset == min(unfinished, default=offsets[-1] + 1)
    assert len(tracker) == len(unfinished)


@given(order=st.permutations(range(12)))
@settings(deadline=None)
def test_the_next_offset_only_grows_in_whatever_order_messages_finish(order: list[int]) -> None:
    tracker = polled(0, list(range(12)))
    seen = [tracker.next_offset]
    for offset in order:
        tracker.finish(offset)
        seen.append(tracker.next_offset)
    assert seen == sorted(seen)
    assert seen[-1] == 12


def test_the_next_offset_is_the_start_when_nothing_was_polled() -> None:
    assert OffsetTracker(7).next_offset == 7


def test_a_message_is_refused_when_it_was_polled_before() -> None:
    tracker = polled(0, [0, 1, 2])
    tracker.finish(1)
    assert not any(tracker.poll(offset) for offset in (0, 1, 2))
    assert tracker.next_offset == 0


def test_a_message_is_refused_when_it_lies_before_the_start() -> None:
    assert not OffsetTracker(5).poll(4)


@pytest.mark.parametrize("offset", [0, 9])
def test_finishing_is_an_error_when_the_message_is_not_in_flight(offset: Any) -> None:
    tracker = polled(0, [0])
    tracker.finish(0)
    with pytest.raises(KeyError):
        tracker.finish(offset)
