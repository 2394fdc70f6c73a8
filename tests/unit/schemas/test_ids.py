from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4, uuid5

import pytest
from dragoman.schemas.ids import derived_id, event_id, new_job_id, uuid7_time
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

# A busy machine is slow, not wrong.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)


def test_job_ids_are_version_7_of_the_rfc_variant() -> None:
    job_id = new_job_id()

    assert (job_id.version, job_id.variant) == (7, "specified in RFC 4122")


def test_job_ids_rise_when_many_are_made_in_one_millisecond() -> None:
    made = [new_job_id() for _ in range(5_000)]

    assert made == sorted(set(made))


def test_job_id_carries_the_present_time() -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)

    assert before <= uuid7_time(new_job_id()) <= datetime.now(UTC) + timedelta(seconds=1)


def test_time_of_the_rfc_example_is_read() -> None:
    example = UUID("017f22e2-79b0-7cc3-98c4-dc0c0c07398f")  # RFC 9562, A.6

    assert uuid7_time(example) == datetime(2022, 2, 22, 19, 22, 22, tzinfo=UTC)


def test_time_of_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match="not a UUID of version 7"):
        uuid7_time(uuid4())


@UNHURRIED
@given(st.datetimes(timezones=st.just(UTC)), st.lists(st.text(st.characters())))
def test_derived_id_is_the_same_each_time_whatever_it_is_made_of(when: datetime, parts: list[str]) -> None:
    first = derived_id(when, *parts)

    assert first == derived_id(when, *parts)
    assert first.version == 7
    assert 2020 <= uuid7_time(first).year < 2100


def test_derived_id_differs_when_the_parts_are_divided_differently() -> None:
    assert derived_id(NOON, "a", "bc") != derived_id(NOON, "ab", "c")


def test_derived_id_keeps_the_time_it_is_given() -> None:
    assert uuid7_time(derived_id(NOON, "jobs.bulk", "3", "17")) == NOON


def test_event_ids_of_a_job_differ_by_kind_and_by_nothing_else() -> None:
    job_id = new_job_id()

    assert event_id(job_id, "result") == event_id(job_id, "result") != event_id(job_id, "dead-letter")


def test_an_event_id_is_a_uuid_of_version_5_named_by_its_kind() -> None:
    job_id = new_job_id()
    assert event_id(job_id, "result") == uuid5(job_id, "result")
