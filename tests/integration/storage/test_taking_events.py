"""How the relay takes events out of the outbox, whatever PostgreSQL thinks how many there are."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from dragoman.storage.copy_in import BinaryCopy
from dragoman.storage.outbox import TAKE_EVENTS, take_events
from dragoman.storage.records import OutboxEvent
from dragoman.storage.tables import outbox
from sqlalchemy import Engine

pytestmark = pytest.mark.services

insert = BinaryCopy(outbox, OutboxEvent._fields)


def waiting(engine: Engine, count: int) -> list[OutboxEvent]:
    events = [OutboxEvent(uuid4(), uuid4(), "results", b"key", (), b"x" * 500) for _ in range(count)]
    with engine.begin() as connection:
        insert(connection, events)
    return events


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


def test_every_event_is_looked_for_once_when_the_table_was_vacuumed_while_it_was_nearly_empty(bench: Any) -> None:
    earlier = waiting(bench.engine, 2_000)
    with bench.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        # The last one stays, so that the file stays as long as it is.
        connection.exec_driver_sql("DELETE FROM outbox WHERE event_id <> %s", (str(earlier[-1].event_id),))
        connection.exec_driver_sql("VACUUM ANALYZE outbox")
        pages, rows = connection.exec_driver_sql(
            "SELECT relpages, reltuples FROM pg_class WHERE oid = 'outbox'::regclass"
        ).one()
    assert pages > 50
    assert rows <= 1
    events = waiting(bench.engine, 1_000)
    wanted = "{" + ",".join(str(event.event_id) for event in events[:100]) + "}"
    with bench.engine.begin() as connection:
        told = connection.exec_driver_sql("EXPLAIN (ANALYZE, FORMAT JSON) " + TAKE_EVENTS, (wanted, 100)).scalar_one()
    found = list(nodes((json.loads(told) if isinstance(told, str) else told)[0]["Plan"]))
    deleted = [node for node in found if node["Node Type"] == "ModifyTable"]
    assert [node["Actual Rows"] for node in deleted] == [100]
    assert max(node["Actual Loops"] for node in found) == 1


def test_only_what_no_other_relay_holds_is_taken(bench: Any) -> None:
    events = waiting(bench.engine, 4)
    with bench.engine.connect() as other, bench.engine.connect() as ours:
        assert take_events(other, events[:2]) == events[:2]
        assert take_events(ours, events) == events[2:]
        ours.commit()
        other.rollback()
    assert bench.value("SELECT count(*) FROM outbox") == 2
    with bench.engine.begin() as connection:
        assert take_events(connection, events) == events[:2]
