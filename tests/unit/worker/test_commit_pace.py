"""How often Kafka is told how far we are."""

import pytest
from dragoman.worker.commit_pace import COMMIT_SECONDS, CommitPace


@pytest.fixture
def pace() -> CommitPace:
    return CommitPace()


def test_the_first_commit_may_begin_at_once(pace: CommitPace) -> None:
    assert pace.may_begin(1_000.0)


def test_there_is_never_more_than_one_outstanding(pace: CommitPace) -> None:
    pace.begin(1_000.0)

    assert not pace.may_begin(1_900.0)
    assert pace.outstanding_seconds(1_009.0) == 9.0


def test_a_second_passes_after_one_that_was_answered_at_once(pace: CommitPace) -> None:
    pace.begin(1_000.0)
    pace.end(1_000.0)

    assert not pace.may_begin(1_000.0 + 0.9 * COMMIT_SECONDS)
    assert pace.may_begin(1_000.0 + COMMIT_SECONDS)


def test_the_group_has_three_times_as_long_after_one_without_an_answer(pace: CommitPace) -> None:
    pace.begin(1_000.0)
    pace.end(1_010.0)

    assert pace.outstanding_seconds(1_011.0) == 0.0
    assert not pace.may_begin(1_039.9)
    assert pace.may_begin(1_040.0)
