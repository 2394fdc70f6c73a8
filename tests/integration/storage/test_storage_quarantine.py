"""Ranges of offsets that nobody will translate."""

import pytest
from dragoman.storage.engine import transaction
from dragoman.storage.quarantine import QuarantinedRange, record_quarantine
from sqlalchemy import Engine, text

pytestmark = pytest.mark.services


def ranges(engine: Engine, *last_offsets: int) -> list[tuple[int, int]]:
    """Record a gap that begins at 10 with each of these ends; returns what the table holds."""
    with transaction(engine) as connection:
        for last in last_offsets:
            record_quarantine(connection, QuarantinedRange("jobs.bulk", 0, 10, last, "expired"))
        rows = connection.execute(text("SELECT first_offset, last_offset FROM quarantine"))
        return [(first, last) for first, last in rows]


def test_a_gap_is_one_row_when_it_is_recorded_twice(database: Engine) -> None:
    assert ranges(database, 19, 19) == [(10, 19)]


def test_a_gap_has_its_new_end_when_it_has_grown(database: Engine) -> None:
    assert ranges(database, 19, 29) == [(10, 29)]


def test_a_gap_keeps_its_end_when_a_shorter_one_is_recorded(database: Engine) -> None:
    assert ranges(database, 29, 19) == [(10, 29)]
