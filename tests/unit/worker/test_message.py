"""A record as it was polled."""

from datetime import UTC, datetime
from typing import Any

import pytest
from dragoman.worker.message import by_topic


def test_the_size_is_that_of_value_key_and_headers(build: Any) -> None:
    message = build.message(value=b"12345", key=None, headers=(("four", b"12"), ("one", None)))
    assert message.size_bytes == 5 + 4 + 2 + 3


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.5, datetime(1970, 1, 1, 0, 0, 0, 500_000, tzinfo=UTC)),
        (-1.0, datetime(1970, 1, 1, tzinfo=UTC)),
        (2**63 / 1000, datetime(2100, 1, 1, tzinfo=UTC)),
    ],
)
def test_the_time_is_one_that_exists_whatever_a_producer_wrote(build: Any, seconds: float, expected: datetime) -> None:
    assert build.message(timestamp_seconds=seconds).sent_at == expected


def test_partitions_are_told_by_topic() -> None:
    assert by_topic([("b", 2), ("a", 1), ("b", 0)]) == {"a": [1], "b": [0, 2]}
