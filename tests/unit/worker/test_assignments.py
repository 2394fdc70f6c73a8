"""What this worker may work on, and how far it has come."""

import threading
from datetime import timedelta
from typing import Any

from dragoman.storage.records import PartitionProgress
from dragoman.tests.unit.worker.conftest import NOON
from dragoman.worker.assignments import Assignments, InFlight
from hypothesis import given, settings
from hypothesis import strategies as st

TOPIC = "jobs.bulk"
ZERO, ONE = (TOPIC, 0), (TOPIC, 1)


def receive(build: Any, assignments: Any, count: int) -> list[Any]:
    return [assignments.receive(build.message(offset)) for offset in range(count)]


def test_a_message_is_not_taken_when_its_partition_is_not_ours(build: Any) -> None:
    assert build.assignments(1).receive(build.message()) is None


def test_a_message_is_taken_once_when_it_is_polled_twice(build: Any) -> None:
    assignments = build.assignments()
    assert assignments.receive(build.message(4)) is not None
    assert assignments.receive(build.message(4)) is None
    assert assignments.in_flight().jobs == 1


def test_the_volume_in_flight_counts_value_key_and_headers(build: Any) -> None:
    assignments = build.assignments()
    delivery = assignments.receive(build.message(value=b"12345", key=b"123", headers=(("name", b"12"), ("n", None))))
    assert assignments.in_flight() == InFlight(1, 5 + 3 + 4 + 2 + 1)
    assignments.give_back([delivery])
    assert assignments.in_flight() == InFlight(0, 0)


def test_progress_stops_before_the_oldest_unfinished_delivery(build: Any) -> None:
    assignments = build.assignments()
    deliveries = receive(build, assignments, 4)
    assert assignments.finish([deliveries[0], deliveries[2]]) == (PartitionProgress(TOPIC, 0, 1, 1),)
    assert assignments.finish([deliveries[1]]) == (PartitionProgress(TOPIC, 0, 1, 3),)


def test_progress_names_each_partition_once_when_several_finish(build: Any) -> None:
    assignments = build.assignments(0, 1)
    deliveries = [assignments.receive(build.message(o, partition_number=p)) for p in (0, 1) for o in (0, 1)]
    assert set(assignments.finish(deliveries)) == {
        PartitionProgress(TOPIC, 0, 1, 2),
        PartitionProgress(TOPIC, 1, 1, 2),
    }


def test_progress_says_when_the_database_last_had_something_from_us(build: Any) -> None:
    assignments = build.assignments(0)
    assignments.add(ZERO, 1, 0, taken_at=NOON)
    first, second, third = receive(build, assignments, 3)
    later = NOON + timedelta(seconds=1)
    (taken,) = progress = assignments.finish([second])
    assignments.settled([second], progress, later)
    (settled,) = progress = assignments.finish([third])
    assignments.settled([third], progress)  # nobody said when

    assert (taken.next_offset, taken.recorded_at) == (0, NOON)
    assert (settled.next_offset, settled.recorded_at) == (0, later)
    assert assignments.finish([first]) == (PartitionProgress(TOPIC, 0, 1, 3, recorded_at=later),)


@given(fates=st.lists(st.sampled_from(["finish", "give back", "wait"]), min_size=1, max_size=20), data=st.data())
@settings(deadline=None)
def test_progress_never_passes_what_is_unfinished_or_given_back(build: Any, fates: list[str], data: Any) -> None:
    assignments = build.assignments()
    deliveries = receive(build, assignments, len(fates))
    order = data.draw(st.permutations(range(len(fates))))
    progress = [assignments.finish([deliveries[n]]) for n in order if fates[n] == "finish"]
    assignments.give_back([deliveries[n] for n in order if fates[n] == "give back"])
    kept = [number for number, fate in enumerate(fates) if fate != "finish"]
    reached = max((entry.next_offset for (entry,) in progress), default=0)
    assert reached <= min(kept, default=len(fates))
    assert assignments.in_flight().jobs == len(fates) - fates.count("give back")


def test_the_settled_offset_moves_when_the_transaction_is_committed_and_not_before(build: Any) -> None:
    assignments = build.assignments()
    (delivery,) = receive(build, assignments, 1)
    progress = assignments.finish([delivery])
    assert assignments.settled_offsets() == {ZERO: 0}
    assignments.settled([delivery], progress)
    assert assignments.settled_offsets() == {ZERO: 1}
    assert assignments.in_flight().jobs == 0


def test_the_settled_offset_of_a_new_assignment_stays_when_an_old_transaction_ends(build: Any) -> None:
    assignments = build.assignments()
    (delivery,) = receive(build, assignments, 1)
    progress = assignments.finish([delivery])
    assignments.remove([ZERO])
    assignments.add(ZERO, 3, 0)
    assignments.settled([delivery], progress)
    assert assignments.settled_offsets() == {ZERO: 0}


def test_begun_work_counts_and_new_work_is_not_admitted_when_a_partition_is_revoked(build: Any) -> None:
    assignments = build.assignments()
    (delivery,) = receive(build, assignments, 1)
    assignments.revoke([ZERO, ONE])
    assert assignments.counted([delivery]) == [True]
    assert assignments.admitted([delivery]) == [False]
    assert assignments.receive(build.message(1)) is None


def test_a_delivery_counts_no_more_when_its_partition_came_back(build: Any) -> None:
    assignments = build.assignments()
    (stale,) = receive(build, assignments, 1)
    assignments.remove([ZERO])
    assignments.add(ZERO, 2, 0)
    (fresh,) = receive(build, assignments, 1)
    assert assignments.counted([stale, fresh]) == [False, True]
    assert assignments.admitted([stale, fresh]) == [False, True]


def test_a_stale_delivery_does_not_keep_the_partition_busy_when_it_came_back(build: Any) -> None:
    assignments = build.assignments()
    (stale,) = receive(build, assignments, 1)
    assignments.remove([ZERO])
    assignments.add(ZERO, 2, 0)
    assert assignments.wait_idle([ZERO], 0)
    assignments.give_back([stale])
    assert assignments.in_flight() == InFlight(0, 0)


def test_waiting_ends_when_the_last_delivery_is_settled(build: Any) -> None:
    assignments = build.assignments()
    deliveries = receive(build, assignments, 2)
    assignments.give_back(deliveries[:1])
    assert not assignments.wait_idle([ZERO], 0)
    settler = threading.Thread(target=lambda: assignments.settled(deliveries[1:], assignments.finish(deliveries[1:])))
    settler.start()
    assert assignments.wait_idle([ZERO], 30)
    settler.join()


def test_waiting_ends_when_the_partition_is_removed(build: Any) -> None:
    assignments = build.assignments()
    receive(build, assignments, 1)
    remover = threading.Thread(target=lambda: assignments.remove([ZERO]))
    remover.start()
    assert assignments.wait_idle([ZERO], 30)
    remover.join()


def test_another_partition_does_not_keep_a_revocation_waiting(build: Any) -> None:
    assignments = build.assignments(0, 1)
    receive(build, assignments, 1)
    assert assignments.wait_idle([ONE], 0)


def test_a_partition_is_forgotten_when_somebody_else_has_raised_its_epoch(build: Any) -> None:
    assignments = build.assignments(0, 1)
    assert assignments.fence([PartitionProgress(TOPIC, 0, 1, 5)])
    assert assignments.partitions() == {ONE}


def test_a_partition_stays_when_only_its_former_epoch_was_fenced(build: Any) -> None:
    assignments = build.assignments(epoch=3)
    assert not assignments.fence([PartitionProgress(TOPIC, 0, 1, 5), PartitionProgress(TOPIC, 1, 1, 5)])
    assert assignments.partitions() == {ZERO}


def test_only_the_first_messages_are_suspect_when_a_partition_brought_its_owners_down(build: Any) -> None:
    assignments = Assignments()
    assignments.add(ZERO, 1, 10, suspect_before=12)
    deliveries = [assignments.receive(build.message(offset)) for offset in (10, 11, 12)]
    assert [delivery.is_suspect for delivery in deliveries if delivery] == [True, True, False]


def test_no_message_is_suspect_otherwise(build: Any) -> None:
    (delivery,) = receive(build, build.assignments(), 1)
    assert not delivery.is_suspect


def test_a_delivery_stands_for_a_range_when_nobody_can_read_it(build: Any) -> None:
    assignments = build.assignments()
    skipped = assignments.receive(build.message(0), last_offset=4)
    assert assignments.receive(build.message(4)) is None
    behind = assignments.receive(build.message(5))
    assert assignments.finish([behind])[0].next_offset == 0
    assert assignments.finish([skipped])[0].next_offset == 6


def test_the_oldest_message_is_the_one_that_waits_longest_in_any_partition(build: Any) -> None:
    assignments = build.assignments(0, 1)
    assert assignments.oldest_seconds() is None
    first = assignments.receive(build.message(0, timestamp_seconds=50.0))
    assignments.receive(build.message(1, timestamp_seconds=70.0))
    assignments.receive(build.message(0, partition_number=1, timestamp_seconds=60.0))
    assert assignments.oldest_seconds() == 50.0
    progress = assignments.finish([first])
    assert assignments.oldest_seconds() == 50.0  # its transaction may take long
    assignments.settled([first], progress)
    assert assignments.oldest_seconds() == 60.0


def test_nothing_stalls_when_nothing_is_in_flight(build: Any) -> None:
    assignments = build.assignments()
    assert assignments.stalled_seconds() == 0.0
    (delivery,) = receive(build, assignments, 1)
    assert 0.0 <= assignments.stalled_seconds() < 60.0
    assignments.settled([delivery], assignments.finish([delivery]))
    assert assignments.stalled_seconds() == 0.0
