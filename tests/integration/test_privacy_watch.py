"""What a running worker hears of privacy, on a real PostgreSQL."""

from typing import Any
from uuid import UUID

import pytest
from dragoman.errors import TransientError
from dragoman.model.batching import BatchLimits
from dragoman.model.translator import Translation
from dragoman.storage.clients import set_client
from dragoman.storage.engine import create_database_engine, transaction
from dragoman.storage.erasure import erase
from dragoman.storage.erasure_scope import Scope
from dragoman.tests.unit.worker.conftest import FRENCH, Builder
from dragoman.worker import privacy_watch
from dragoman.worker.pipeline import Pipeline
from dragoman.worker.privacy_watch import PrivacyWatch
from sqlalchemy import Engine, create_engine, text

pytestmark = pytest.mark.services

INSERT = """
INSERT INTO translation (job_id, status, source_text, options, metadata, attempt, submitted_at, admitted_at,
  kafka_topic, kafka_partition, kafka_offset, lease_epoch, worker_id)
SELECT CAST(:job AS uuid), 'translated', 'x', '{}', '{}', 1, now(), now(), 't', 0, 0, 1, 'w'
"""


def remembered(pipeline: Pipeline) -> bool:
    return pipeline.waiting_room.recall([(FRENCH, (1,))]) != [None]


def remember(pipeline: Pipeline) -> None:
    segment: Any = Builder().segment()._replace(pieces=(1,))
    pipeline.waiting_room.answered(FRENCH, [(segment, Translation("Salut.", -0.5, 1, 3))])


def erase_one(database: Engine, number: int) -> None:
    with transaction(database) as connection:
        connection.execute(text(INSERT), {"job": str(UUID(int=number))})
    assert sum(done.meant for done in erase(database, Scope(job_id=UUID(int=number)))) == 1


def test_clients_are_heard_of_that_leave_no_trace_and_that_do_again(database: Engine) -> None:
    pipeline = Builder().pipeline(BatchLimits(64, 4))
    watch = PrivacyWatch(pipeline, database)
    for no_trace, expected in ((True, {"shop"}), (False, set())):
        with transaction(database) as connection:
            set_client(connection, "shop", {"no_trace": no_trace}, "someone")
        watch.look()
        assert pipeline.privacy.no_trace_clients == expected


def test_translations_are_forgotten_once_for_each_erasure(database: Engine) -> None:
    erase_one(database, 1)
    pipeline = Builder().pipeline(BatchLimits(64, 4))
    watch = PrivacyWatch(pipeline, database)
    remember(pipeline)
    watch.look()
    assert remembered(pipeline)
    erase_one(database, 2)
    watch.look()
    assert not remembered(pipeline)
    remember(pipeline)
    watch.look()
    assert remembered(pipeline)


def test_a_worker_that_begins_while_the_database_is_away_waits_for_what_it_says(
    database: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with transaction(database) as connection:
        set_client(connection, "shop", {"no_trace": True}, "someone")
    monkeypatch.setattr(privacy_watch, "LOOK_SECONDS", 0.0)
    one = create_engine(database_url, pool_size=1, max_overflow=0, pool_timeout=0.01)
    pipeline = Builder().pipeline()
    watch = PrivacyWatch(pipeline, one)
    taken = one.connect()
    with pytest.raises(TransientError):
        watch.look()
    beats = iter([lambda: None, lambda: None, taken.close])
    assert watch.hear_first(lambda: next(beats)())
    assert next(beats, None) is None
    assert pipeline.privacy.no_trace_clients == {"shop"}
    one.dispose()


def test_a_worker_that_is_stopped_before_the_database_answers_ends() -> None:
    nowhere = create_database_engine("postgresql://nobody@127.0.0.1:1/none")
    pipeline = Builder().pipeline()
    assert not PrivacyWatch(pipeline, nowhere).hear_first(pipeline.stopping.set)


def test_what_was_known_holds_while_the_database_is_away() -> None:
    nowhere = create_database_engine("postgresql://nobody@127.0.0.1:1/none")
    pipeline = Builder().pipeline()
    pipeline.privacy.no_trace_clients = frozenset({"shop"})
    watch = PrivacyWatch(pipeline, nowhere)
    watch.start()
    assert watch.stop(30.0)
    assert watch.failure is None
    assert pipeline.privacy.no_trace_clients == {"shop"}
