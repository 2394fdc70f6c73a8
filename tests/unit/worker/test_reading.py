"""Which polled messages count: none of a former position, none behind a place that was skipped."""

from typing import Any

import pytest
from dragoman.worker.broker import ReadFault
from dragoman.worker.message import Partition
from dragoman.worker.reading import Reading

ZERO: Partition = ("jobs.bulk", 0)


@pytest.fixture
def reading() -> Reading:
    """Partition 0, to be read from offset 5."""
    reading = Reading()
    reading.start({ZERO: 5})
    reading.begin_poll()
    return reading


def poll(reading: Reading, build: Any, *offsets: int) -> list[int]:
    """Poll these offsets; what is to be read once more is started there, as the broker does."""
    reading.begin_poll()
    taken = [offset for offset in offsets if reading.take(build.message(offset))]
    reading.start(reading.end_poll())
    return taken


def test_messages_count_in_order_from_the_start(reading: Reading, build: Any) -> None:
    assert poll(reading, build, 5, 6, 7) == [5, 6, 7]
    assert reading.next_offsets() == {ZERO: 8}


def test_a_message_counts_not_when_its_partition_was_not_started(reading: Reading, build: Any) -> None:
    assert not reading.take(build.message(5, partition_number=1))


def test_a_message_counts_not_when_it_was_taken_before(reading: Reading, build: Any) -> None:
    assert poll(reading, build, 5, 5, 4) == [5]


def test_the_partition_is_read_once_more_when_its_first_message_is_not_the_one_asked_for(
    reading: Reading, build: Any
) -> None:
    assert poll(reading, build, 9, 10) == []
    assert reading.next_offsets() == {ZERO: 5}
    assert poll(reading, build, 5, 6) == [5, 6]
    assert reading.jumps == 1


def test_a_hole_is_passed_when_it_is_there_the_second_time_too(reading: Reading, build: Any) -> None:
    assert poll(reading, build, 9, 10) == []
    assert poll(reading, build, 9, 10) == [9, 10]
    assert reading.jumps == 1


def test_a_hole_between_messages_is_passed_at_once(reading: Reading, build: Any) -> None:
    assert poll(reading, build, 5, 7) == [5, 7]


def test_the_first_message_after_a_resumption_must_be_the_next_one(reading: Reading, build: Any) -> None:
    assert poll(reading, build, 5) == [5]
    reading.distrust([ZERO])
    assert poll(reading, build, 8) == []
    assert poll(reading, build, 6, 7, 8) == [6, 7, 8]


def test_messages_are_read_once_more_when_the_partition_was_moved_during_the_poll(reading: Reading, build: Any) -> None:
    reading.begin_poll()
    reading.start({ZERO: 5})  # by a callback
    assert not reading.take(build.message(7))
    assert reading.end_poll() == {ZERO: 5}


def test_nothing_counts_behind_a_fault_until_the_partition_is_started_again(reading: Reading, build: Any) -> None:
    assert poll(reading, build, 5) == [5]
    reading.fail(ZERO, "_BAD_MSG")
    assert poll(reading, build, 8) == []
    assert reading.faults() == [ReadFault(ZERO, 6, "_BAD_MSG")]
    assert reading.next_offsets() == {}
    reading.start({ZERO: 8})
    assert poll(reading, build, 8) == [8]
    assert reading.faults() == []


def test_the_first_fault_stays_when_others_follow(reading: Reading) -> None:
    reading.fail(ZERO, "_BAD_MSG")
    reading.fail(ZERO, "_AUTO_OFFSET_RESET")
    assert [fault.error for fault in reading.faults()] == ["_BAD_MSG"]


def test_a_fault_goes_when_the_partition_goes(reading: Reading) -> None:
    reading.fail(ZERO, "_BAD_MSG")
    reading.stop([ZERO])
    assert reading.faults() == []
    assert ZERO not in reading
