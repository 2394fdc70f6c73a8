"""Ranges of offsets that nobody will translate."""

from collections.abc import Iterator

import pytest
from dragoman.storage.engine import create_database_engine, transaction
from dragoman.storage.migrate import upgrade
from dragoman.storage.quarantine import QuarantinedRange, record_quarantine
from sqlalchemy import Engine, text

pytestmark = pytest.mark.services


@pytest.fixture
def migrated(database_url: str) -> Iterator[Engine]:
    upgrade(database_url)
    engine = create_database_engine(database_url)
    yield engine
    engine.dispose()


def ranges(engine: Engine, *last_offsets: int) -> list[tuple[int, int]]:
    """Record a gap that begins at 10 with each of these ends; returns what the table holds."""
    with transaction(engine) as connection:
        for last in last_offsets:
            record_quarantine(connection, QuarantinedRange("jobs.bulk", 0, 10, last, "expired"))
        rows = connection.execute(text("SELECT first_offset, last_offset FROM quarantine"))
        return [(first, last) for first, last in rows]


def test_a_gap_is_one_row_when_it_is_recorded_twice(migrated: Engine) -> None:
    assert ranges(migrated, 19, 19) == [(10, 19)]


def test_a_gap_has_its_new_end_when_it_has_grown(migrated: Engine) -> None:
    assert ranges(migrated, 19, 29) == [(10, 29)]


def test_a_gap_keeps_its_end_when_a_shorter_one_is_recorded(migrated: Engine) -> None:
    assert ranges(migrated, 29, 19) == [(10, 29)]
