"""A survey finds what can be read of a place, and the end of the batch that cannot."""

import time
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import pytest
from dragoman.storage.quarantine import QuarantinedRange
from dragoman.worker.broker import ReadFault
from dragoman.worker.message import Message
from dragoman.worker.probe import ProcessLens, UndecidedError, survey
from hypothesis import given, settings
from hypothesis import strategies as st

FAULT = ReadFault(("jobs.bulk", 3), 10, "_BAD_MSG")


class Batches:
    """Batches as (first offset, last offset, what a look into them answers)."""

    def __init__(self, *batches: tuple[int, int, str]) -> None:
        self._batches = batches

    def look(self, offset: int) -> Mapping[str, Any] | None:
        for first, last, kind in self._batches:
            if first <= offset <= last:
                answers: dict[str, Mapping[str, Any] | None] = {
                    "bad": {"error": "_BAD_MSG", "batch": first},
                    "nameless": {"error": "_BAD_MSG", "batch": None},
                    "deadly": None,
                    "good": {"messages": [entry(number) for number in range(offset, last + 1)]},
                }
                return answers[kind]
        return {"end": True}


def entry(offset: int) -> dict[str, Any]:
    value = b64encode(b"{}").decode()
    return {"offset": offset, "key": None, "value": value, "headers": [["name", None]], "milliseconds": 2_000}


@settings(deadline=None)
@given(first=st.integers(0, 10), last=st.integers(10, 5_000))
def test_the_range_ends_with_the_batch_whatever_its_size(first: int, last: int) -> None:
    found = survey(Batches((first, last, "bad"), (last + 1, last + 3, "good")), FAULT)
    assert found.next_offset == last + 1
    (skipped,) = found.items
    assert isinstance(skipped, QuarantinedRange)
    assert (skipped.first_offset, skipped.last_offset, skipped.reason) == (10, last, "unreadable")


@pytest.mark.parametrize("kind", ["bad", "nameless", "deadly"])
def test_the_range_ends_with_the_partition_when_nothing_follows(kind: str) -> None:
    assert survey(Batches((10, 12, kind)), FAULT).next_offset == 13


def test_the_range_ends_before_the_next_batch_when_that_cannot_be_read_either() -> None:
    found = survey(Batches((8, 12, "bad"), (13, 13, "bad"), (14, 14, "good"), (15, 90, "bad")), FAULT)
    assert found.next_offset == 13


def test_messages_are_handed_over_when_there_was_only_too_little_room() -> None:
    found = survey(Batches((10, 11, "good")), FAULT)
    plain = ("jobs.bulk", 3)
    assert found.items == tuple(Message(*plain, at, None, b"{}", (("name", None),), 2.0) for at in (10, 11))
    assert found.next_offset == 12


def test_a_message_that_is_too_large_is_passed_alone() -> None:
    class Bomb:
        def look(self, offset: int) -> Mapping[str, Any]:
            return {"messages": [entry(10), {"offset": 11, "size": 100_000_000}, entry(12)]}

    before, skipped, after = survey(Bomb(), FAULT).items
    assert isinstance(before, Message)
    assert isinstance(after, Message)
    assert skipped == QuarantinedRange("jobs.bulk", 3, 11, 11, "too_large", "the message has 100,000,000 bytes")


def test_nothing_is_passed_when_there_is_nothing() -> None:
    found = survey(Batches(), FAULT)
    assert (found.items, found.next_offset) == ((), 10)


def test_nothing_is_passed_when_the_brokers_stand_in_the_way() -> None:
    class Away:
        def look(self, offset: int) -> Mapping[str, Any]:
            raise UndecidedError("away")

    with pytest.raises(UndecidedError):
        survey(Away(), FAULT)


def test_the_lens_says_that_it_cannot_say_when_no_broker_answers() -> None:
    lens = ProcessLens({"bootstrap.servers": "127.0.0.1:1", "log_level": 0}, FAULT, time.monotonic() + 60.0)
    with pytest.raises(UndecidedError, match="did not let us look"):
        lens.look(0)
    lens.close()


def test_the_lens_says_that_it_cannot_say_when_its_time_is_over() -> None:
    with pytest.raises(UndecidedError, match="no time"):
        ProcessLens({}, FAULT, time.monotonic()).look(0)
