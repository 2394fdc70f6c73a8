"""Leases, outbox, quarantine and model versions on a real PostgreSQL."""

from typing import Any
from uuid import UUID

import pytest
from dragoman.errors import DragomanError, TransientError
from dragoman.storage.engine import transaction
from dragoman.storage.leases import LeaseRequest, accept_topic, acquire_leases, release_leases
from dragoman.storage.models import ModelVersion, register_model_version
from dragoman.storage.outbox import claim_events, delete_events, outbox_state
from dragoman.storage.quarantine import QuarantinedRange, record_quarantine
from dragoman.storage.records import PartitionProgress
from dragoman.storage.settlement import settle
from sqlalchemy import Engine

pytestmark = pytest.mark.services

PARTITIONS = (("jobs", 1), ("jobs", 0))


def acquire(engine: Engine, request: LeaseRequest) -> dict[int, tuple[int, int | None]]:
    with transaction(engine) as connection:
        return {lease.partition: (lease.epoch, lease.next_offset) for lease in acquire_leases(connection, request)}


def test_the_seed_is_the_next_offset_when_a_partition_is_new(engine: Engine) -> None:
    request = LeaseRequest("workers", "a", PARTITIONS, {("jobs", 0): 7})
    assert acquire(engine, request) == {0: (1, 7), 1: (1, None)}


def test_the_epoch_rises_and_the_offset_stays_when_a_partition_is_taken_over(engine: Engine) -> None:
    acquire(engine, LeaseRequest("workers", "a", PARTITIONS, {("jobs", 0): 7}))
    taken = acquire(engine, LeaseRequest("workers", "b", PARTITIONS, {("jobs", 0): 3, ("jobs", 1): 4}))
    assert taken == {0: (2, 7), 1: (2, 4)}


def test_groups_do_not_meet_when_they_read_the_same_partition(engine: Engine) -> None:
    acquire(engine, LeaseRequest("workers", "a", PARTITIONS))
    assert acquire(engine, LeaseRequest("others", "a", PARTITIONS)) == {0: (1, None), 1: (1, None)}


def test_taking_over_is_transient_when_the_owner_is_writing(engine: Engine) -> None:
    request = LeaseRequest("workers", "a", PARTITIONS)
    acquire(engine, request)
    with transaction(engine) as busy:
        busy.exec_driver_sql("SELECT 1 FROM ingest_lease FOR UPDATE")
        with pytest.raises(TransientError, match="55P03"):
            acquire(engine, request)


def test_an_event_comes_back_as_it_was_when_it_is_claimed(bench: Any) -> None:
    settlement = bench.settlement(bench.row(1), bench.row(2))
    settle(bench.engine, settlement)
    with transaction(bench.engine) as connection:
        claimed = tuple(claim_events(connection, 10))
        assert claimed == sum(settlement.events, ())


def test_relays_get_different_events_when_they_claim_at_once(bench: Any) -> None:
    settle(bench.engine, bench.settlement(bench.row(1), bench.row(2), bench.row(3)))
    with transaction(bench.engine) as first, transaction(bench.engine) as second:
        second.exec_driver_sql("SET LOCAL lock_timeout = '2s'")  # fails instead of waiting for the first
        one = {claimed.job_id for claimed in claim_events(first, 2)}
        other = {claimed.job_id for claimed in claim_events(second, 2)}
    assert (one, other) == ({UUID(int=1), UUID(int=2)}, {UUID(int=3)})


def test_only_the_deleted_events_are_gone_when_a_relay_commits(bench: Any) -> None:
    settle(bench.engine, bench.settlement(bench.row(1), bench.row(2)))
    with transaction(bench.engine) as connection:
        delete_events(connection, [claimed.event_id for claimed in claim_events(connection, 1)])
    with transaction(bench.engine) as connection:
        waiting = outbox_state(connection)
    assert waiting.events == 1
    assert 0.0 <= waiting.oldest_seconds < 300.0


def test_one_row_is_kept_when_a_range_is_quarantined_twice(bench: Any) -> None:
    skipped = QuarantinedRange("jobs", 0, 5, 9, "retention", "Kafka had dropped them")
    with transaction(bench.engine) as connection:
        record_quarantine(connection, skipped)
        record_quarantine(connection, skipped)
    assert bench.values("SELECT last_offset FROM quarantine") == [9]


def test_one_row_is_kept_when_a_model_version_registers_twice(bench: Any) -> None:
    version = ModelVersion("tiny@1", ("en", "de"), ("fr",), "ab", {"bleu": 31.0})
    with transaction(bench.engine) as connection:
        register_model_version(connection, version)
        register_model_version(connection, version)
    assert bench.value("SELECT source_languages FROM model_version WHERE id = 'tiny@1'") == ["en", "de"]


def test_a_model_version_is_refused_when_its_id_has_other_content(engine: Engine) -> None:
    with transaction(engine) as connection:
        register_model_version(connection, ModelVersion("tiny@1", ("en",), ("fr",), "ab", {}))
        with pytest.raises(DragomanError, match="other content"):
            register_model_version(connection, ModelVersion("tiny@1", ("en",), ("fr",), "cd", {}))


OLD_TOPIC, NEW_TOPIC = UUID(int=1), UUID(int=2)


def of_topic(topic_id: UUID | None) -> LeaseRequest:
    return LeaseRequest("workers", "a", PARTITIONS, {("jobs", 0): 7}, {"jobs": topic_id})


def test_a_lease_is_refused_and_unchanged_when_its_topic_was_made_anew(bench: Any) -> None:
    acquire(bench.engine, of_topic(OLD_TOPIC))
    epochs = bench.values("SELECT epoch FROM ingest_lease ORDER BY partition")
    assert acquire(bench.engine, of_topic(NEW_TOPIC)) == {}
    assert bench.values("SELECT epoch FROM ingest_lease ORDER BY partition") == epochs


def test_a_lease_learns_the_id_of_its_topic_when_it_had_none(engine: Engine) -> None:
    acquire(engine, of_topic(None))
    assert acquire(engine, of_topic(OLD_TOPIC)) == {0: (2, 7), 1: (2, None)}
    assert acquire(engine, of_topic(NEW_TOPIC)) == {}


def test_a_lease_is_given_when_the_brokers_know_no_ids(engine: Engine) -> None:
    acquire(engine, of_topic(OLD_TOPIC))
    assert acquire(engine, of_topic(None)) == {0: (2, 7), 1: (2, None)}


def test_leases_begin_at_the_beginning_when_a_person_accepts_the_new_topic(engine: Engine) -> None:
    acquire(engine, of_topic(OLD_TOPIC))
    with transaction(engine) as connection:
        assert accept_topic(connection, "workers", "jobs", NEW_TOPIC) == [0, 1]
        assert accept_topic(connection, "workers", "jobs", NEW_TOPIC) == []
        assert accept_topic(connection, "others", "jobs", NEW_TOPIC) == []
    assert acquire(engine, of_topic(NEW_TOPIC)) == {0: (3, 0), 1: (3, 0)}


def stalled(engine: Engine, partition: int) -> int:
    with transaction(engine) as connection:
        (lease,) = acquire_leases(connection, LeaseRequest("workers", "a", (("jobs", partition),)))
        return lease.stalled_acquisitions


def test_acquisitions_are_counted_until_something_is_finished(bench: Any) -> None:
    assert [stalled(bench.engine, 0) for _ in range(2)] == [1, 2]
    settle(bench.engine, bench.settlement(bench.row(1), progress=(PartitionProgress("jobs", 0, 3, 1),), events=((),)))
    assert stalled(bench.engine, 0) == 1


def test_acquisitions_are_not_counted_when_the_owner_left_in_order(bench: Any) -> None:
    assert stalled(bench.engine, 0) == 1
    with transaction(bench.engine) as connection:
        release_leases(connection, "workers", [PartitionProgress("jobs", 0, 2, 0)])
    assert stalled(bench.engine, 0) == 1
    with transaction(bench.engine) as connection:
        release_leases(connection, "workers", [PartitionProgress("jobs", 0, 2, 0)])  # under an epoch that is over
    assert stalled(bench.engine, 0) == 2


def test_an_orderly_owner_says_nothing_of_those_who_were_brought_down_before_it(bench: Any) -> None:
    assert [stalled(bench.engine, 0) for _ in range(2)] == [1, 2]
    with transaction(bench.engine) as connection:
        release_leases(connection, "workers", [PartitionProgress("jobs", 0, 3, 0)])
    assert stalled(bench.engine, 0) == 2
