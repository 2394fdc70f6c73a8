"""What a settlement refuses before it reaches the database, and how array literals are written."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from dragoman.storage.bulk import array_literal, quoted
from dragoman.storage.records import HistoryRow, PartitionProgress, Settlement

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def row(partition: int) -> HistoryRow:
    return HistoryRow(
        job_id=UUID(int=1),
        client_id=None,
        lane=None,
        source_language=None,
        target_language=None,
        source_text=None,
        status="rejected",
        submitted_at=NOON,
        admitted_at=NOON,
        kafka_topic="jobs",
        kafka_partition=partition,
        kafka_offset=0,
        lease_epoch=1,
        worker_id="worker",
    )


def test_a_settlement_is_refused_when_a_row_has_no_progress() -> None:
    with pytest.raises(ValueError, match="without progress"):
        Settlement("group", (row(1),), ((),), (PartitionProgress("jobs", 0, 1, 1),))


def test_a_settlement_is_refused_when_a_partition_is_named_twice() -> None:
    progress = PartitionProgress("jobs", 0, 1, 1)
    with pytest.raises(ValueError, match="twice"):
        Settlement("group", (), (), (progress, progress))


def test_an_array_literal_tells_the_word_null_from_nothing() -> None:
    assert array_literal(["NULL", None, ""], quoted) == '{"NULL",NULL,""}'


def test_an_array_literal_escapes_quotation_marks_and_backslashes() -> None:
    assert array_literal(['say "a\\b"'], quoted) == '{"say \\"a\\\\b\\""}'
