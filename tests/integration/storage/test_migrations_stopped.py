"""A migration that was stopped half-way leaves the database as it was, and can be run again."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from dragoman.errors import DragomanError
from dragoman.storage import migrate
from dragoman.storage.migrate import current_revision, downgrade, upgrade
from dragoman.storage.revision import head_revision
from dragoman.tests.integration.storage.test_storage_migrations import definitions, plain  # noqa: F401 - a fixture
from sqlalchemy import Connection, Engine, event, text

# ruff: noqa: F811 - pytest hands fixtures over under their names

pytestmark = pytest.mark.services

ROWS = """
INSERT INTO translation (job_id, status, options, metadata, attempt, submitted_at, admitted_at,
  kafka_topic, kafka_partition, kafka_offset, lease_epoch, worker_id)
SELECT gen_random_uuid(), 'translated', '{}', '{}', 1, now(), now(), 't', 0, n, 1, 'w' FROM generate_series(1, 50) AS n
"""
BACKENDS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'dragoman-db'"


@contextmanager
def terminated(connection: Connection, statement_number: int | None) -> Iterator[list[str]]:
    """Have the server end the migration's backend before that statement of it; lists what came before."""
    seen: list[str] = []

    def before(asking: Connection, _cursor: object, statement: str, *_: Any) -> None:
        if asking.engine is not connection.engine:
            if len(seen) == statement_number:
                connection.execute(text(BACKENDS))
            seen.append(statement)

    event.listen(Engine, "before_cursor_execute", before)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", before)


def test_a_migration_that_lost_its_backend_anywhere_is_run_again(database_url: str, plain: Connection) -> None:
    upgrade(database_url, "0001")
    plain.execute(text(ROWS))
    with terminated(plain, None) as whole:
        upgrade(database_url)
    wanted = definitions(plain)
    downgrade(database_url, "0001")
    before = definitions(plain)
    migration = next(number for number, statement in enumerate(whole) if statement.lstrip().startswith("ALTER TABLE"))
    last = max(number for number, statement in enumerate(whole) if "UPDATE alembic_version" in statement)
    for number in sorted({migration, (migration + last) // 3, (migration + last) // 2, last}):
        with terminated(plain, number) as seen, pytest.raises(DragomanError):
            upgrade(database_url)
        assert len(seen) == number + 1
        assert current_revision(database_url) == "0001"
        assert definitions(plain) == before
    upgrade(database_url)
    assert current_revision(database_url) == head_revision()
    assert definitions(plain) == wanted
    assert plain.execute(text("SELECT count(*) FROM translation")).scalar_one() == 50


def test_partitions_are_made_by_the_next_upgrade_when_the_first_was_stopped_before_them(
    database_url: str, plain: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = text("SELECT count(*) FROM pg_inherits WHERE inhparent = 'translation'::regclass")
    with monkeypatch.context() as stopped, suppress(KeyboardInterrupt):
        stopped.setattr(migrate, "make_partitions", _stop)
        upgrade(database_url)
    before = plain.execute(count).scalar_one()
    assert current_revision(database_url) == head_revision()
    upgrade(database_url)
    assert plain.execute(count).scalar_one() > before


def _stop(_: Engine) -> None:
    raise KeyboardInterrupt
