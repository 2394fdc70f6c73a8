"""A worker's stages on a real PostgreSQL: what it takes for suspect, what it passes, what it refuses to read."""

from dataclasses import replace
from uuid import UUID

import pytest
from dragoman.storage.quarantine import QuarantinedRange
from dragoman.tests.integration.test_worker_stages import (  # noqa: F401 - fixtures among them
    GROUP,
    NEXT_OFFSETS,
    ONE,
    ZERO,
    Bench,
    bench,
    database,
    server,
    worker_database,
)
from dragoman.worker.message import Message
from dragoman.worker.work import Outcome

# ruff: noqa: F811 - pytest hands fixtures over under their names

pytestmark = pytest.mark.services


def test_first_messages_are_suspect_when_owners_went_down_again_and_again(bench: Bench) -> None:
    bench.record(2)
    bench.values("UPDATE ingest_lease SET stalled_acquisitions = 4 RETURNING epoch")
    bench.publish(2)
    bench.broker.close(0)
    successor = Bench(bench.database, bench.server, cluster=bench.cluster)
    successor.intake.turn(successor.join())
    assert [delivery.is_suspect for delivery in successor.pipeline.inbox.bulk.gather(1, 0.0)] == [True, True]


def quarantine(bench: Bench) -> None:
    """Hand the settler a range that nobody can read, behind three jobs."""
    skipped = QuarantinedRange(*ZERO, 3, 7, "unreadable", "the client says _BAD_MSG")
    delivery = bench.pipeline.assignments.receive(Message(*ZERO, 3, None, None, (), 0.0), 7)
    assert delivery is not None
    bench.pipeline.finished.put([Outcome(delivery, quarantined=skipped)])


def test_a_range_is_quarantined_in_the_transaction_that_passes_it(bench: Bench) -> None:
    bench.translate(3)
    quarantine(bench)
    bench.settler.work()
    assert bench.values("SELECT (first_offset, last_offset, reason)::text FROM quarantine") == ["(3,7,unreadable)"]
    assert bench.values(NEXT_OFFSETS) == [8, 0]
    assert bench.metric("quarantined_messages_total", reason="unreadable") == 5
    assert bench.pipeline.assignments.in_flight().jobs == 0


def test_nothing_is_quarantined_when_another_worker_has_taken_over(bench: Bench) -> None:
    bench.translate(3)
    quarantine(bench)
    bench.take_over()
    bench.settler.work()
    assert bench.values("SELECT first_offset FROM quarantine") == []
    assert bench.values(NEXT_OFFSETS) == [0, 0]


def test_the_other_partitions_start_when_one_has_another_topic(bench: Bench) -> None:
    bench.record(1)
    bench.values("UPDATE ingest_lease SET topic_id = gen_random_uuid() WHERE partition = 0 RETURNING epoch")
    bench.broker.close(0)
    place = {partition: bench.cluster.position(GROUP, partition) for partition in (ZERO, ONE)}
    known = {partition: replace(position, topic_id=UUID(int=2)) for partition, position in place.items()}
    successor = Bench(bench.database, bench.server)
    assert successor.intake.assigned(known) == {ONE: 0}
    assert successor.intake.refused == {ZERO}
