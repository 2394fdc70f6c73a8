"""Jobs that must be done by a certain time."""

from dragoman.model.batching import BatchLimits
from dragoman.tests.unit.worker.scheduling.simulation import AT_ONCE, FRENCH, Arrival, Simulation, segment
from dragoman.worker.scheduling.deadlines import IDLE_ENTRIES, Deadlines
from dragoman.worker.scheduling.entry import Entry
from dragoman.worker.scheduling.policy import Policy
from dragoman.worker.scheduling.pool_queue import PoolQueue
from dragoman.worker.scheduling.scheduler import Scheduler

POLICY = Policy(BatchLimits(100, 10), AT_ONCE)


def test_an_expired_segment_comes_out_separately_and_is_not_taken() -> None:
    scheduler = Scheduler(POLICY)
    late, early = (segment(n, Arrival(0.0, "a", 5, deadline_seconds=at)) for n, at in enumerate([3.0, 30.0]))
    scheduler.add(FRENCH, late)
    scheduler.add(FRENCH, early)
    batch = scheduler.take(3.0)
    assert batch is not None
    assert batch.segments == (early,)
    assert scheduler.expired(3.0) == (late,)
    assert scheduler.expired(100.0) == ()


def test_a_segment_that_was_taken_does_not_expire() -> None:
    scheduler = Scheduler(POLICY)
    scheduler.add(FRENCH, segment(0, Arrival(0.0, "a", 5, deadline_seconds=3.0)))
    scheduler.take(0.0)
    assert scheduler.expired(100.0) == ()


def test_a_segment_goes_out_of_turn_when_it_is_about_to_expire() -> None:
    waiting = [Arrival(0.0, client, 50) for client in "abcdef"] * 2
    urgent = Arrival(0.0, "z", 20, deadline_seconds=1.0)
    served = Simulation(POLICY, 100.0).run([*waiting, urgent])
    assert next(one for one in served if one.arrival is urgent).batch == 0


def test_a_segment_keeps_its_turn_while_its_deadline_is_far() -> None:
    waiting = [Arrival(0.0, client, 50) for client in "abcdef"] * 2
    relaxed = Arrival(0.0, "a", 20, deadline_seconds=1e6)
    served = Simulation(POLICY, 100.0).run([*waiting, relaxed])
    assert next(one for one in served if one.arrival is relaxed).batch > 0


def test_a_batch_does_not_wait_to_be_filled_when_one_of_it_is_about_to_expire() -> None:
    scheduler = Scheduler(Policy(BatchLimits(100, 10), {"interactive": 60.0, "bulk": 60.0}, urgent_seconds=2.0))
    for number in range(3):
        scheduler.add(FRENCH, segment(number, Arrival(0.0, f"c{number}", 6 + number)))
    scheduler.add(FRENCH, segment(9, Arrival(0.0, "urgent", 5, deadline_seconds=10.0)))
    assert scheduler.take(7.9) is None
    assert scheduler.ready_in_seconds(7.0) == 1.0
    assert scheduler.take(8.0) is not None


def test_a_client_gains_nothing_by_deadlines_on_a_flood() -> None:
    flood = [Arrival(0.0, "flood", 20, deadline_seconds=500.0) for _ in range(400)]
    mine = [Arrival(5.0 + 5 * number, "me", 20) for number in range(10)]
    served = Simulation(Policy(BatchLimits(100, 10), AT_ONCE, urgent_seconds=1e6), 100.0).run(flood + mine)
    assert max(one.wait_seconds for one in served if one.arrival.client == "me") <= 3.0


def test_a_segment_without_a_deadline_is_not_passed_by_two_batches_when_all_others_are_about_to_expire() -> None:
    mine = Arrival(0.0, "me", 5)
    urgent = [Arrival(0.0, f"c{number}", 50, deadline_seconds=500.0) for number in range(40)]
    served = Simulation(Policy(BatchLimits(100, 10), AT_ONCE, urgent_seconds=1e6), 100.0).run([mine, *urgent])
    assert next(one for one in served if one.arrival is mine).batch <= 1


def test_deadlines_of_entries_that_left_take_no_memory_for_ever() -> None:
    deadlines = Deadlines(lambda entry: not entry.gone)
    for number in range(5 * IDLE_ENTRIES):
        entry = Entry(PoolQueue(FRENCH), segment(number, Arrival(0.0, "a", 5, deadline_seconds=1e6)), number)
        deadlines.add(entry)
        entry.gone = True
        deadlines.left()
    assert len(deadlines._heap) <= 2 * IDLE_ENTRIES + 2
