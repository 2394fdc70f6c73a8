"""A worker that is frozen in the middle of what it tells the database: others go on without it."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from uuid import UUID

import pytest
from dragoman.errors import TransientError
from dragoman.storage import leases
from dragoman.storage.attempts import begin_attempt, note_suspects
from dragoman.storage.engine import create_database_engine, transaction
from dragoman.storage.known_jobs import known_jobs
from dragoman.storage.leases import LeaseRequest, acquire_leases
from dragoman.storage.migrate import upgrade
from sqlalchemy import Connection, Engine, event, make_url, text

pytestmark = pytest.mark.services

JOB = UUID(int=1)
ONE = ("dragoman.jobs.bulk", 0)


@pytest.fixture
def frozen(database_url: str) -> Iterator[Engine]:
    """The engine of the worker that will be frozen."""
    upgrade(database_url)
    engine = create_database_engine(database_url, idle_in_transaction_seconds=0.2)
    yield engine
    engine.dispose()


@pytest.fixture
def other(database_url: str) -> Iterator[Engine]:
    """The engine of another worker, which waits ten seconds for a lock and then says so."""
    url = make_url(database_url).update_query_dict({"options": "-c lock_timeout=10s"})
    engine = create_database_engine(url.render_as_string(hide_password=False))
    yield engine
    engine.dispose()


@pytest.mark.parametrize("statement", [lambda e: note_suspects(e, [JOB]), lambda e: begin_attempt(e, JOB)])
def test_a_job_is_tried_by_another_while_who_began_it_is_frozen(frozen: Engine, other: Engine, statement) -> None:  # type: ignore[no-untyped-def]
    tried: list[int] = []

    def meanwhile(*_: object) -> None:
        # The frozen worker has sent its statement and does nothing more, no COMMIT either.
        tried.append(begin_attempt(other, JOB))

    event.listen(frozen, "after_cursor_execute", meanwhile, once=True)
    statement(frozen)
    assert known_jobs(other, [JOB]).attempts_of(JOB) == tried[0] >= 1


def test_leases_of_a_worker_that_is_frozen_as_it_takes_them_are_taken_over(
    frozen: Engine, other: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "LIMITS", leases.LIMITS.replace("'1s'", "'10s'").replace("'5s'", "'200ms'"))
    epochs: list[int] = []
    with frozen_amid(frozen) as connection:
        epochs += [acquire_leases(connection, LeaseRequest("g", "frozen", (ONE,), {ONE: 0}))[0].epoch, acquired(other)]
    # What the frozen one took never was.
    assert epochs == [epochs[0]] * 2


def test_whatever_a_frozen_worker_locks_others_get(frozen: Engine, other: Engine) -> None:
    epoch = acquired(other)
    lock = text("SELECT epoch FROM ingest_lease FOR UPDATE")
    with frozen_amid(frozen) as connection:
        connection.execute(lock)
        with transaction(other) as waiting:
            assert waiting.execute(lock).scalar_one() == epoch


@contextmanager
def frozen_amid(engine: Engine) -> Iterator[Connection]:
    """A transaction that the server breaks off while the block waits for others."""
    with pytest.raises(TransientError), ExitStack() as stack:
        yield stack.enter_context(transaction(engine))


def acquired(engine: Engine) -> int:
    with transaction(engine) as connection:
        return acquire_leases(connection, LeaseRequest("g", "other", (ONE,), {ONE: 0}))[0].epoch
