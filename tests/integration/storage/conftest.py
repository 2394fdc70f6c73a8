"""An upgraded database, and builders of the values that tests write to it."""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from dragoman.compose.local import LocalStack
from dragoman.storage.engine import create_database_engine, transaction
from dragoman.storage.leases import Lease, LeaseRequest, acquire_leases
from dragoman.storage.migrate import upgrade
from dragoman.storage.models import ModelVersion, register_model_version
from dragoman.storage.records import BatchRow, HistoryRow, OutboxEvent, PartitionProgress, Settlement
from dragoman.tests.emptying import empty_tables
from sqlalchemy import Engine, text

GROUP = "workers"
TOPIC = "jobs"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
MODEL = "tiny-en-fr@000000000000"


@pytest.fixture(scope="session")
def history_url(stack: LocalStack) -> Iterator[str]:
    """An upgraded database that these tests share, because upgrading one takes most of a second."""
    server = create_database_engine(stack.database_url).execution_options(isolation_level="AUTOCOMMIT")
    name = f"history_{secrets.token_hex(6)}"
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    url = server.url.set(database=name).render_as_string(hide_password=False)
    upgrade(url)
    yield url
    # A connection of its own: other tests restart the server meanwhile.
    with server.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    server.dispose()


@pytest.fixture
def engine(history_url: str) -> Iterator[Engine]:
    """The shared database, emptied."""
    engine = create_database_engine(history_url)
    with transaction(engine) as connection:
        empty_tables(connection)
        register_model_version(connection, ModelVersion(MODEL, ("en",), ("fr",), "00", {}))
    yield engine
    engine.dispose()


@dataclass(frozen=True)
class Workbench:
    """A database with one lease on partition 0 (epoch 1, next offset 0), and short ways to write and look."""

    engine: Engine

    def row(self, number: int, **changes: Any) -> HistoryRow:
        plain = {
            "job_id": UUID(int=number),
            "client_id": "someone",
            "lane": "bulk",
            "source_language": "en",
            "target_language": "fr",
            "source_text": f"Sentence {number}.",
            "target_text": f"Phrase {number}.",
            "status": "translated",
            "score": -1.5,
            "model_version_id": MODEL,
            "source_pieces": 4,
            "target_pieces": 5,
            "submitted_at": NOON,
            "admitted_at": NOON,
            "kafka_topic": TOPIC,
            "kafka_partition": 0,
            "kafka_offset": number,
            "lease_epoch": 1,
            "worker_id": "worker",
        }
        return HistoryRow(**{**plain, **changes})

    def event(self, row: HistoryRow, number: int = 0) -> OutboxEvent:
        event_id = UUID(int=(row.job_id.int * 1000 + number) % (1 << 128))
        return OutboxEvent(event_id, row.job_id, "results", row.job_id.bytes, (("ce_id", "x"),), b"payload")

    def batch(self, number: int, **changes: Any) -> BatchRow:
        plain = {
            "id": UUID(int=number),
            "model_version_id": MODEL,
            "rows": 1,
            "source_pieces": 30,
            "padded_pieces": 40,
            "target_pieces": 25,
            "decode_seconds": 0.5,
            "device": "cpu",
            "worker_id": "worker",
        }
        return BatchRow(**{**plain, **changes})

    def settlement(self, *rows: HistoryRow, **changes: Any) -> Settlement:
        plain = {
            "group_id": GROUP,
            "rows": rows,
            "events": tuple((self.event(row),) for row in rows),
            "progress": (PartitionProgress(TOPIC, 0, 1, 100),),
        }
        return Settlement(**{**plain, **changes})

    def take(self, *partitions: int, owner: str = "worker") -> list[Lease]:
        request = LeaseRequest(GROUP, owner, tuple((TOPIC, p) for p in partitions), {(TOPIC, p): 0 for p in partitions})
        with transaction(self.engine) as connection:
            return acquire_leases(connection, request)

    def values(self, statement: str) -> list[Any]:
        with transaction(self.engine) as connection:
            return list(connection.execute(text(statement)).scalars())

    def value(self, statement: str) -> Any:
        (only,) = self.values(statement)
        return only


@pytest.fixture
def bench(engine: Engine) -> Workbench:
    bench = Workbench(engine)
    bench.take(0)
    return bench


@pytest.fixture
def kill_backend(history_url: str) -> Iterator[Callable[[int], None]]:
    """End a server process for good before returning."""
    killer = create_database_engine(history_url)

    def kill(pid: int) -> None:
        with transaction(killer) as connection:
            ended = connection.execute(text("SELECT pg_terminate_backend(:pid, 10000)"), {"pid": pid}).scalar_one()
            assert ended

    yield kill
    killer.dispose()
