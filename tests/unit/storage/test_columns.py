"""Columns of a bulk insert: what is written once for many rows is what each row would have had."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from dragoman.storage.bulk import _column, array_literal, is_one_value, quoted, uuid_text

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
IDS = tuple(UUID(int=number) for number in (7, 2**127))


@pytest.mark.parametrize(
    "values",
    [
        (NOON, None) * 20,
        (NOON,) * 20,
        (None,) * 20,
        (NOON, NOON.replace(hour=1), NOON),
    ],
)
def test_a_column_of_shared_values_is_written_as_one_of_different_values(values: tuple[datetime | None, ...]) -> None:
    assert _column(values, datetime.isoformat) == array_literal(values, datetime.isoformat)


def test_zeros_of_both_signs_stay_what_they_are() -> None:
    assert _column((0.0, -0.0), str) == "{0.0,-0.0}"


def test_texts_are_quoted_whether_they_are_alike_or_not() -> None:
    assert _column(('a"', "b"), quoted) == '{"a\\"","b"}'
    assert _column(("b", "b"), quoted) == '{"b","b"}'


def test_a_uuid_without_hyphens_is_the_same_uuid() -> None:
    assert [UUID(uuid_text(one)) for one in IDS] == list(IDS)


def test_values_that_differ_only_in_the_middle_are_not_one_value() -> None:
    assert not is_one_value((1, 2, 1))
    assert is_one_value((1, 1, 1))
