"""Who waits how long: no client starves, whatever the others do."""

import random
from collections import Counter
from itertools import pairwise

import pytest
from dragoman.model.batching import BatchLimits
from dragoman.schemas.jobs import Lane
from dragoman.tests.unit.worker.scheduling.simulation import (
    AT_ONCE,
    FRENCH,
    Arrival,
    Served,
    Simulation,
    ordinary_length,
    percentile,
    segment,
    stream,
)
from dragoman.worker.scheduling.policy import Policy
from dragoman.worker.scheduling.scheduler import Scheduler
from hypothesis import example, given, settings
from hypothesis import strategies as st

LIMITS = BatchLimits(2048, 128, 0.3)
POLICY = Policy(LIMITS)
PIECES_PER_SECOND = 20_000.0
FULL_BATCH_SECONDS = LIMITS.tokens / PIECES_PER_SECOND
SHORTEST = 2


def flood(client: str, count: int, lane: Lane = "bulk", seed: int = 1) -> list[Arrival]:
    """Everything at once."""
    generator = random.Random(seed)
    return [Arrival(0.0, client, ordinary_length(generator), lane) for _ in range(count)]


def ahead_pieces(served: list[Served], mine: Served) -> int:
    """What the client of a segment had added when it came, since it last had nothing waiting; padding counted.

    A segment is `ahead` of the clock by that at most.
    """
    own = [one for one in served if one.arrival.client == mine.arrival.client and one.arrival.lane == mine.arrival.lane]
    since = mine.arrival.at_seconds
    # Taken at or after that moment: the client had something waiting already. Not in the order in which they came, so
    # one that was taken early says nothing of those before it.
    while earlier := [one.arrival.at_seconds for one in own if one.arrival.at_seconds < since <= one.at_seconds]:
        since = min(earlier)
    joined = [one for one in own if since <= one.arrival.at_seconds <= mine.arrival.at_seconds]
    return sum(one.longest for one in joined)


CLIENTS = st.sampled_from(["a", "b", "c", "d"])
TRICKLE = st.lists(
    st.builds(
        Arrival,
        at_seconds=st.integers(0, 200).map(lambda hundredths: hundredths / 100),
        client=CLIENTS,
        length=st.integers(SHORTEST, 40),
        deadline_seconds=st.sampled_from([None, None, 1e6]),
    ),
    max_size=40,
)
FLOODS = st.lists(
    st.tuples(
        CLIENTS,
        st.integers(0, 200),
        st.integers(1, 120),
        st.integers(SHORTEST, 40),
        st.integers(0, 3),
        # All of a flood may be about to expire, to go out of turn.
        st.sampled_from([None, 1e6]),
    ),
    max_size=3,
)


def flooded(floods: list[tuple[str, int, int, int, int, float | None]]) -> list[Arrival]:
    return [
        Arrival(at / 100, client, max(SHORTEST, length + number % (spread + 1)), "bulk", deadline)
        for client, at, count, length, spread, deadline in floods
        for number in range(count)
    ]


@given(trickle=TRICKLE, floods=FLOODS, tokens=st.integers(50, 200), rows=st.integers(1, 16))
@example(
    trickle=[
        Arrival(at_seconds=0.11, client="a", length=7),
        Arrival(at_seconds=0.11, client="b", length=10),  # fills up the other's batch, before the rest of the flood
        Arrival(at_seconds=0.12, client="b", length=2),
    ],
    floods=[("b", 10, 24, 2, 1, None)],
    tokens=50,
    rows=2,
)
@settings(deadline=None, max_examples=150)
def test_every_wait_is_bounded_by_what_the_own_client_has_sent(
    trickle: list[Arrival], floods: list[tuple[str, int, int, int, int, float | None]], tokens: int, rows: int
) -> None:
    """The bound of the scheduler's docstring: 2 n (ahead / s + 1) batches, for each segment, whoever floods."""
    arrivals = trickle + flooded(floods)
    policy = Policy(BatchLimits(tokens, rows, 0.3), AT_ONCE, urgent_seconds=1e6)
    served = Simulation(policy, 2_000.0).run(arrivals)
    assert len(served) == len(arrivals)
    clients = len({arrival.client for arrival in arrivals})
    starts = sorted({one.batch: one.at_seconds for one in served}.items())
    for one in served:
        before = sum(1 for number, at in starts if at >= one.arrival.at_seconds and number <= one.batch)
        assert before <= 2 * clients * (ahead_pieces(served, one) / SHORTEST + 1)


def test_a_client_is_next_when_it_has_nothing_else_waiting_however_much_others_have() -> None:
    scheduler = Scheduler(POLICY)
    for number, arrival in enumerate(flood("flood", 20_000)):
        scheduler.add(FRENCH, segment(number, arrival))
    for _ in range(5):
        scheduler.take(1.0)
    scheduler.add(FRENCH, segment(1_000_000, Arrival(1.0, "me", 150)))
    taken = [one.job.client_id for _ in range(2) if (batch := scheduler.take(1.0)) for one in batch.segments]
    assert "me" in taken


@pytest.mark.parametrize("clients", [4, 10])
@pytest.mark.parametrize("load", [0.8, 1.5])
@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "steadily"])
def test_others_wait_at_most_twice_their_fair_share_when_one_client_sends_nine_tenths(
    clients: int, load: float, at_once: bool
) -> None:
    """Fair share: the wait on a device of one's own with an n-th of the speed, and for one batch that runs already."""
    seconds, segments_per_second = 10.0, load * PIECES_PER_SECOND / 26
    others = {
        name: stream(name, seconds, 0.1 * segments_per_second / (clients - 1), seed)
        for seed, name in enumerate(f"c{number}" for number in range(1, clients))
    }
    heavy = 0.9 * segments_per_second
    flooding = flood("flood", int(seconds * heavy)) if at_once else stream("flood", seconds, heavy, 99)
    everything = flooding + [arrival for arrivals in others.values() for arrival in arrivals]
    served = Simulation(POLICY, PIECES_PER_SECOND).run(everything, until_seconds=seconds)
    waits = [one.wait_seconds for one in served if one.arrival.client != "flood"]
    alone = [
        one.wait_seconds for a in others.values() for one in Simulation(POLICY, PIECES_PER_SECOND / clients).run(a)
    ]
    assert percentile(waits, 0.95) <= 2 * (percentile(alone, 0.95) + FULL_BATCH_SECONDS)


def test_clients_with_equal_backlogs_are_served_alike() -> None:
    served = Simulation(POLICY, PIECES_PER_SECOND).run(
        [arrival for seed in range(4) for arrival in flood(f"c{seed}", 2_000, seed=seed)], until_seconds=5.0
    )
    pieces: Counter[str] = Counter()
    for one in served:
        pieces[one.arrival.client] += one.longest
    assert max(pieces.values()) <= 1.2 * min(pieces.values())


def padded_by_lane(served: list[Served]) -> list[Counter[str]]:
    """Padded pieces of each batch by lane."""
    batches: dict[int, Counter[str]] = {}
    for one in served:
        batches.setdefault(one.batch, Counter())[one.arrival.lane] += one.longest
    return [batches[number] for number in sorted(batches)]


@pytest.mark.parametrize("floor", [0.1, 0.3])
def test_bulk_gets_its_floor_however_much_interactive_there_is(floor: float) -> None:
    policy = Policy(LIMITS, interactive_weight=1_000.0, bulk_floor=floor, aging_seconds=1e9)
    arrivals = flood("a", 6_000, "interactive") + flood("b", 3_000, "bulk", seed=2)
    batches = padded_by_lane(Simulation(policy, PIECES_PER_SECOND).run(arrivals, until_seconds=6.0))
    owed, least = 0.0, 0.0
    for padded in batches:
        owed += floor * sum(padded.values()) - padded["bulk"]
        least = min(least, owed)
        assert owed - least <= 3 * LIMITS.tokens
    share = sum(padded["bulk"] for padded in batches) / sum(sum(padded.values()) for padded in batches)
    assert share >= 0.8 * floor


def test_lanes_get_tokens_by_weight_when_both_are_full() -> None:
    policy = Policy(LIMITS, interactive_weight=3.0, aging_seconds=1e9)
    arrivals = flood("a", 6_000, "interactive") + flood("b", 6_000, "bulk", seed=2)
    batches = padded_by_lane(Simulation(policy, PIECES_PER_SECOND).run(arrivals, until_seconds=6.0))
    share = sum(padded["bulk"] for padded in batches) / sum(sum(padded.values()) for padded in batches)
    assert share == pytest.approx(0.25, abs=0.04)


def test_bulk_that_waits_is_first_after_so_long_whatever_it_is_owed() -> None:
    policy = Policy(LIMITS, bulk_floor=0.0, interactive_weight=1e9, aging_seconds=0.5)
    # Of a length that no interactive segment has: it is never taken along.
    bulk = [Arrival(0.0, "b", 180) for _ in range(3)]
    interactive = [Arrival(0.0, "a", 10, "interactive") for _ in range(6_000)]
    served = Simulation(policy, PIECES_PER_SECOND).run(bulk + interactive)
    at = [one.at_seconds for one in served if one.arrival.lane == "bulk"]
    assert at[0] <= 0.5 + 2 * FULL_BATCH_SECONDS


def test_an_interactive_segment_waits_for_one_batch_when_a_flood_of_bulk_waits() -> None:
    bulk = flood("bulk", 30_000)
    interactive = [
        Arrival(0.3 * number + 0.017 * (number % 7), "me", 5 + 9 * number % 180, "interactive") for number in range(30)
    ]
    served = Simulation(POLICY, PIECES_PER_SECOND).run(bulk + interactive, until_seconds=10.0)
    waits = [one.wait_seconds for one in served if one.arrival.lane == "interactive"]
    assert len(waits) == len(interactive)
    assert max(waits) <= FULL_BATCH_SECONDS


def test_a_burst_of_interactive_segments_waits_for_one_batch_and_its_own_queue() -> None:
    generator = random.Random(4)
    burst = [Arrival(1.0, f"c{number % 20}", ordinary_length(generator), "interactive") for number in range(300)]
    served = Simulation(POLICY, PIECES_PER_SECOND).run(flood("bulk", 30_000) + burst, until_seconds=10.0)
    batches = padded_by_lane([one for one in served if one.at_seconds >= 1.0])
    last = max(number for number, padded in enumerate(batches) if padded["interactive"])
    foreign = sum(1 for padded in batches[: last + 1] if not padded["interactive"])
    assert foreign <= 1
    assert max(one.wait_seconds for one in served if one.arrival.lane == "interactive") <= 15 * FULL_BATCH_SECONDS


def test_bulk_loses_little_when_interactive_is_light() -> None:
    light = [Arrival(0.2 * number, "me", 20, "interactive") for number in range(50)]
    alone = Simulation(POLICY, PIECES_PER_SECOND).run(flood("bulk", 30_000), until_seconds=10.0)
    beside = Simulation(POLICY, PIECES_PER_SECOND).run(flood("bulk", 30_000) + light, until_seconds=10.0)
    pieces = [sum(one.arrival.length for one in served if one.arrival.lane == "bulk") for served in (alone, beside)]
    assert pieces[1] >= 0.95 * pieces[0]


def test_turns_of_one_client_come_in_the_order_of_arrival() -> None:
    served = Simulation(Policy(BatchLimits(60, 4), AT_ONCE), 100.0).run(
        [Arrival(0.01 * number, "a", 20) for number in range(50)]
    )
    assert all(one.arrival.at_seconds <= other.arrival.at_seconds for one, other in pairwise(served))
