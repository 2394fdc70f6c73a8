"""Segments with the same pieces: one is translated, the others share what becomes of it."""

from functools import partial
from typing import Any

from dragoman.model.batching import BatchLimits
from dragoman.tests.unit.worker.scheduling.simulation import AT_ONCE, FRENCH, Arrival, segment
from dragoman.worker.scheduling.policy import Policy
from dragoman.worker.scheduling.scheduler import Scheduler
from dragoman.worker.work import Segment
from hypothesis import given, settings
from hypothesis import strategies as st

LATER = 1e6


def scheduler() -> Scheduler:
    return Scheduler(Policy(BatchLimits(100, 10), AT_ONCE))


def same(client: str = "a", **changes: Any) -> Segment:
    """A segment with always the same pieces."""
    return segment(7, Arrival(0.0, client, 5, **changes))


def taken(waiting: Scheduler, now_seconds: float = 0.0) -> tuple[Segment, ...]:
    batch = waiting.take(now_seconds)
    return batch.segments if batch else ()


def test_one_of_equal_segments_is_taken_and_the_others_follow_it() -> None:
    waiting, equal = scheduler(), [same("a"), same("b"), same("c")]
    assert [waiting.add(FRENCH, one) for one in equal] == [True, False, False]
    assert taken(waiting) == (equal[0],)
    assert waiting.take(LATER) is None
    assert waiting.followers(equal[0], 0.0) == (equal[1], equal[2])
    assert len(waiting) == 0


def test_a_segment_follows_one_that_runs_already() -> None:
    waiting, first, late = scheduler(), same("a"), same("b")
    waiting.add(FRENCH, first)
    taken(waiting)
    assert not waiting.add(FRENCH, late)
    assert waiting.followers(first, 0.0) == (late,)


def test_followers_are_told_once() -> None:
    waiting, first = scheduler(), same("a")
    waiting.add(FRENCH, first)
    waiting.add(FRENCH, same("b"))
    taken(waiting)
    assert len(waiting.followers(first, 0.0)) == 1
    assert waiting.followers(first, 0.0) == ()


def test_a_segment_waits_anew_when_the_translation_was_told_before_it_came() -> None:
    waiting, first, late = scheduler(), same("a"), same("b")
    waiting.add(FRENCH, first)
    taken(waiting)
    waiting.followers(first, 0.0)
    assert waiting.add(FRENCH, late)
    assert taken(waiting) == (late,)


def test_the_first_follower_is_translated_when_the_leader_is_removed_before_it_ran() -> None:
    waiting, first, second, third = scheduler(), same("a"), same("b"), same("c")
    for one in (first, second, third):
        waiting.add(FRENCH, one)
    assert waiting.remove(lambda one: one is first) == [first]
    assert taken(waiting) == (second,)
    assert waiting.followers(second, 0.0) == (third,)


def test_the_first_follower_is_translated_when_the_partition_of_a_running_leader_is_removed() -> None:
    waiting, first, second = scheduler(), same("a"), same("b")
    waiting.add(FRENCH, first)
    waiting.add(FRENCH, second)
    taken(waiting)
    assert waiting.remove(lambda one: one is first) == []
    assert taken(waiting) == (second,)
    assert waiting.followers(first, 0.0) == ()
    assert not waiting.add(FRENCH, same("c")), "the second one runs"


def test_the_first_follower_is_translated_when_the_leader_is_abandoned() -> None:
    waiting, first, second = scheduler(), same("a"), same("b")
    waiting.add(FRENCH, first)
    waiting.add(FRENCH, second)
    taken(waiting)
    waiting.abandon(first)
    assert taken(waiting) == (second,)


def test_nothing_is_left_behind_when_a_leader_without_followers_is_abandoned() -> None:
    waiting, first = scheduler(), same("a")
    waiting.add(FRENCH, first)
    taken(waiting)
    waiting.abandon(first)
    assert len(waiting) == 0
    assert waiting.add(FRENCH, same("b"))


def test_a_removed_follower_gets_nothing() -> None:
    waiting, first, second = scheduler(), same("a"), same("b")
    waiting.add(FRENCH, first)
    waiting.add(FRENCH, second)
    assert waiting.remove(lambda one: one is second) == [second]
    taken(waiting)
    assert waiting.followers(first, 0.0) == ()


def test_an_expired_follower_is_told_as_expired_and_not_with_the_translation() -> None:
    waiting, first, second = scheduler(), same("a"), same("b", deadline_seconds=5.0)
    waiting.add(FRENCH, first)
    waiting.add(FRENCH, second)
    taken(waiting)
    assert waiting.followers(first, 5.0) == ()
    assert waiting.expired(5.0) == (second,)


def test_the_first_follower_is_translated_when_the_leader_expires() -> None:
    waiting, first, second = scheduler(), same("a", deadline_seconds=5.0), same("b")
    waiting.add(FRENCH, first)
    waiting.add(FRENCH, second)
    assert waiting.expired(5.0) == (first,)
    assert taken(waiting, 5.0) == (second,)


def test_a_segment_does_not_wait_behind_the_flood_of_another_client_for_equal_pieces() -> None:
    waiting = scheduler()
    for number in range(1_000):
        waiting.add(FRENCH, segment(1_000 + number, Arrival(0.0, "flood", 5)))
    last_of_flood, mine = same("flood"), same("me")
    waiting.add(FRENCH, last_of_flood)
    waiting.add(FRENCH, mine)
    assert mine in (*taken(waiting), *taken(waiting))
    assert waiting.followers(mine, 0.0) == (last_of_flood,)


def test_an_interactive_segment_leads_bulk_of_equal_pieces() -> None:
    waiting, bulk, interactive = scheduler(), same("a"), same("b", lane="interactive")
    waiting.add(FRENCH, bulk)
    waiting.add(FRENCH, interactive)
    assert taken(waiting) == (interactive,)
    assert waiting.followers(interactive, 0.0) == (bulk,)


def test_a_leader_that_was_overtaken_is_taken_once_when_it_leads_again() -> None:
    waiting, bulk = scheduler(), same("a")
    waiting.add(FRENCH, bulk)
    waiting.add(FRENCH, segment(2, Arrival(0.0, "b", 5)))
    waiting.add(FRENCH, same("a", lane="interactive", deadline_seconds=1.0))
    waiting.add(FRENCH, segment(1, Arrival(0.0, "a", 5, "interactive")))
    waiting.expired(1.0)
    assert sorted(one.pieces[0] for one in taken(waiting, 1.0)) == [1, 2, 7]
    assert waiting.take(LATER) is None
    assert len(waiting) == 0


def _is(number: int, one: Segment) -> bool:
    return one.pieces[0] == number and one.job.client_id == "a"


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(
            st.just("add"),
            st.integers(0, 4),
            st.sampled_from("ab"),
            st.sampled_from(["interactive", "bulk"]),
            st.sampled_from([None, 1.0, 20.0]),
        ),
        st.tuples(st.sampled_from(["take", "finish", "abandon", "remove", "tick"]), st.integers(0, 4)),
    ),
    max_size=80,
)


@given(operations=OPERATIONS)
@settings(deadline=None, max_examples=300)
def test_each_segment_ends_exactly_once_whatever_happens(operations: list[Any]) -> None:
    """Answered, expired, removed, or dropped by whoever had taken it: one of these, once."""
    waiting, now = scheduler(), 0.0
    added: list[Segment] = []
    ended: list[Segment] = []
    running: list[Segment] = []
    for name, value, *rest in operations:
        if name == "add":
            client, lane, within = rest
            deadline = None if within is None else now + within
            added.append(segment(value, Arrival(now, client, 5, lane, deadline)))
            waiting.add(FRENCH, added[-1])
        elif name == "take":
            running += taken(waiting, now)
        elif name == "finish" and running:
            leader = running.pop(value % len(running))
            ended += [leader, *waiting.followers(leader, now)]
        elif name == "abandon" and running:
            leader = running.pop(value % len(running))
            waiting.abandon(leader)
            ended.append(leader)
        elif name == "remove":
            ended += waiting.remove(partial(_is, value))
        elif name == "tick":
            now += value
        ended += waiting.expired(now)
    while running or len(waiting):
        running += taken(waiting, LATER)
        ended += waiting.expired(LATER)
        for leader in running:
            ended += [leader, *waiting.followers(leader, LATER)]
        running = []
    assert sorted(map(id, ended)) == sorted(map(id, added))
    assert waiting.ready_in_seconds(LATER) is None
