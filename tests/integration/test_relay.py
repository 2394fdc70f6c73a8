"""The relay on a real PostgreSQL: what it publishes, what it leaves, what becomes of events when it dies."""

from uuid import UUID

import pytest
from dragoman.errors import TransientError
from dragoman.producer.memory import MemoryPublisher
from dragoman.producer.publisher import DeliveryReport, OnReport, OutgoingMessage
from dragoman.schemas.codec import decode_result
from dragoman.storage.engine import transaction
from dragoman.storage.outbox import claim_events
from dragoman.storage.text_cipher import TextCipher
from dragoman.tests.integration.test_worker_stages import (  # noqa: F401 - fixtures among them
    EVENTS,
    Bench,
    bench,
    database,
    server,
    worker_database,
)
from dragoman.worker.pipeline import OWED_SETTLEMENTS
from dragoman.worker.relay import Relay
from dragoman.worker.settler import Settler
from sqlalchemy import Engine, event

# ruff: noqa: F811 - pytest hands fixtures over under their names

pytestmark = pytest.mark.services


class Choosy(MemoryPublisher):
    """Does not get some messages through: the broker refuses them, or the client itself."""

    def __init__(self, undelivered: int = 0, refused: int = 0) -> None:
        super().__init__()
        self.undelivered, self.refused = undelivered, refused

    def publish(self, message: OutgoingMessage, on_report: OnReport) -> bool:
        if self.refused:
            self.refused -= 1
            raise TransientError("message size too large")
        if self.undelivered:
            self.undelivered -= 1
            on_report(DeliveryReport("timed out"))
            return True
        return super().publish(message, on_report)


def event_ids(publisher: MemoryPublisher) -> list[bytes]:
    return [dict(message.headers)["ce_id"] for message in publisher.messages]


def test_events_leave_the_outbox_when_kafka_has_acknowledged_them(bench: Bench) -> None:
    bench.record(5)
    assert bench.relay.publish_round() == 5
    assert len(set(event_ids(bench.publisher))) == 5
    assert {message.topic for message in bench.publisher.messages} == {"results"}
    assert bench.value(EVENTS) == 0


@pytest.mark.parametrize("faults", [{"undelivered": 2}, {"refused": 2}], ids=["undelivered", "refused"])
def test_only_the_rest_is_published_again_when_some_events_did_not_arrive(
    database: Engine, server: Engine, faults: dict[str, int]
) -> None:
    publisher = Choosy(**faults)
    bench = Bench(database, server, publisher)
    bench.record(5)
    waiting = set(map(str, bench.values("SELECT event_id FROM outbox")))
    assert bench.relay.publish_round() == 3
    assert bench.value(EVENTS) == 2
    assert bench.relay.publish_round() == 2
    assert {identity.decode() for identity in event_ids(publisher)} == waiting
    assert len(publisher.messages) == 5


def test_the_same_events_come_twice_when_a_relay_dies_before_it_deletes_them(bench: Bench) -> None:
    bench.record(3)
    bench.before({1: bench.kill}, "DELETE FROM outbox")
    with pytest.raises(TransientError):
        bench.relay.publish_round()
    assert bench.value(EVENTS) == 3
    assert bench.relay.publish_round() == 3
    published = event_ids(bench.publisher)
    assert published[:3] == published[3:]
    assert len(set(published)) == 3


def test_what_was_just_recorded_is_published_without_reading_it_back(bench: Bench) -> None:
    bench.record(5)
    bench.before({1: bench.kill}, "FROM outbox ORDER BY")  # reading it back would fail
    assert bench.relay.publish_fresh(bench.pipeline.owed.get_nowait()) == 5
    assert len(set(event_ids(bench.publisher))) == 5
    assert bench.value(EVENTS) == 0


def test_fresh_events_that_did_not_arrive_stay_in_the_outbox_and_the_others_do_not(
    database: Engine, server: Engine
) -> None:
    bench = Bench(database, server, Choosy(undelivered=2))
    bench.record(5)
    assert bench.relay.publish_fresh(bench.pipeline.owed.get_nowait()) == 3
    assert bench.value(EVENTS) == 2
    assert bench.relay.publish_round() == 2
    assert len(set(event_ids(bench.publisher))) == len(bench.publisher.messages) == 5


def test_fresh_events_are_in_the_outbox_again_when_the_relay_dies_before_its_transaction_ends(bench: Bench) -> None:
    bench.record(3)
    event.listen(bench.database, "commit", bench.kill, once=True)
    with pytest.raises(TransientError):
        bench.relay.publish_fresh(bench.pipeline.owed.get_nowait())
    assert bench.value(EVENTS) == 3
    assert bench.relay.publish_round() == 3
    published = event_ids(bench.publisher)
    assert sorted(published[:3]) == sorted(published[3:])


def test_fresh_events_that_another_relay_has_are_left_to_it(bench: Bench) -> None:
    bench.record(5)
    with transaction(bench.database) as other:
        held = {event.event_id for event in claim_events(other, 2)}
        assert bench.relay.publish_fresh(bench.pipeline.owed.get_nowait()) == 3
    assert {UUID(identity.decode()) for identity in event_ids(bench.publisher)}.isdisjoint(held)
    assert set(bench.values("SELECT event_id FROM outbox")) == held


def test_a_sweep_leaves_young_events_to_the_relay_that_is_about_to_publish_them(bench: Bench) -> None:
    bench.record(2)
    assert bench.relay.publish_round(older_than_seconds=60.0) == 0
    assert bench.relay.publish_round() == 2


def test_events_for_which_the_relay_has_no_room_are_only_in_the_outbox(bench: Bench) -> None:
    for _ in range(OWED_SETTLEMENTS):
        bench.pipeline.owed.put_nowait([])
    bench.record(2)
    assert bench.pipeline.owed.qsize() == OWED_SETTLEMENTS
    assert bench.relay.publish_round() == 2


def test_a_relay_publishes_what_came_last_when_it_is_stopped(bench: Bench) -> None:
    bench.record(2)
    bench.relay._stopped.set()  # before its first round
    bench.relay.start()
    assert bench.relay.stop(30.0)
    assert len(bench.publisher.messages) == 2


def test_a_frozen_relay_lets_go_of_its_events_after_a_while(bench: Bench) -> None:
    bench.record(1)
    limits: list[str] = []
    setting = "SHOW idle_in_transaction_session_timeout"
    bench.before({1: lambda c: limits.append(c.exec_driver_sql(setting).scalar_one())}, "DELETE FROM outbox")
    bench.relay.publish_round()
    assert limits == ["30s"]


def test_fresh_events_reach_kafka_open_when_texts_are_encrypted(bench: Bench) -> None:
    cipher = TextCipher({"key": bytes(32)})
    bench.settler = Settler(bench.pipeline, bench.database, bench.publisher, cipher)
    bench.relay = Relay(bench.pipeline, bench.database, bench.publisher, cipher)
    bench.record(4)
    fresh = bench.pipeline.owed.get_nowait()
    assert bench.relay.publish_fresh(fresh[:2]) == 2
    assert bench.relay.publish_round() == 2
    assert {decode_result(message.value).translation for message in bench.publisher.messages} == {
        f"Text {number}." for number in range(4)
    }
