"""Migrations on a real PostgreSQL: there, back and there again, and always equal to the metadata."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from dragoman.errors import ConfigurationError, TransientError
from dragoman.storage.engine import create_database_engine
from dragoman.storage.migrate import ADVISORY_LOCK, current_revision, downgrade, head_revision, require_current, upgrade
from dragoman.storage.tables import metadata
from sqlalchemy import Connection, make_url, text

pytestmark = pytest.mark.services

# Index and constraint definitions, which autogenerate compares only in part.
# Partitions have theirs from their table.
DEFINITIONS = """
SELECT indexdef FROM pg_indexes JOIN pg_class ON pg_class.oid = tablename::regclass
WHERE schemaname = 'public' AND tablename <> 'alembic_version' AND NOT relispartition
UNION ALL SELECT conname || ' ' || pg_get_constraintdef(pg_constraint.oid) FROM pg_constraint
JOIN pg_class ON pg_class.oid = conrelid
WHERE connamespace = 'public'::regnamespace AND relname <> 'alembic_version' AND NOT relispartition ORDER BY 1
"""
HISTORY = "SELECT job_id, target_text, status, recorded_at, metadata FROM translation ORDER BY job_id"


@pytest.fixture
def plain(database_url: str) -> Iterator[Connection]:
    """A connection that commits by itself."""
    engine = create_database_engine(database_url)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        yield connection
    engine.dispose()


def definitions(connection: Connection) -> list[str]:
    return list(connection.execute(text(DEFINITIONS)).scalars())


def test_the_database_is_at_the_head_when_it_was_upgraded_downgraded_and_upgraded(database_url: str) -> None:
    upgrade(database_url)
    downgrade(database_url, "base")
    assert current_revision(database_url) is None
    upgrade(database_url)
    assert current_revision(database_url) == head_revision()


def test_nothing_changes_when_an_upgrade_is_repeated(database_url: str, plain: Connection) -> None:
    upgrade(database_url)
    before = definitions(plain)
    upgrade(database_url)
    assert definitions(plain) == before


def test_all_succeed_when_several_processes_upgrade_at_once(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRAGOMAN_DATABASE_URL", database_url)
    command = [sys.executable, "-m", "dragoman", "db", "upgrade"]
    processes = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(3)]
    assert [process.wait(timeout=60) for process in processes] == [0, 0, 0]
    assert current_revision(database_url) == head_revision()


def test_an_upgrade_waits_when_another_is_running(database_url: str, plain: Connection) -> None:
    impatient = make_url(database_url).update_query_dict({"options": "-c lock_timeout=500"})
    plain.execute(text("SELECT pg_advisory_lock(:key)"), {"key": ADVISORY_LOCK})
    with pytest.raises(TransientError, match="55P03"):
        upgrade(impatient.render_as_string(hide_password=False))


def is_ours(_: object, name: str | None, kind: str, *__: object) -> bool:
    return kind != "table" or name in metadata.tables


def test_autogenerate_finds_nothing_when_all_is_upgraded(database_url: str, plain: Connection) -> None:
    upgrade(database_url)
    options = {"compare_type": True, "compare_server_default": True, "include_object": is_ours}
    assert compare_metadata(MigrationContext.configure(plain, opts=options), metadata) == []


def test_the_history_stays_when_its_table_is_replaced_and_put_back(database_url: str, plain: Connection) -> None:
    upgrade(database_url, "0001")
    plain.execute(
        text(
            "INSERT INTO translation (job_id, status, target_text, options, metadata, attempt, submitted_at, "
            "admitted_at, kafka_topic, kafka_partition, kafka_offset, lease_epoch, worker_id) "
            "SELECT gen_random_uuid(), 'translated', 'x' || n, '{}', '{\"page\": \"4\"}', 1, now(), now(), "
            "'t', 0, n, 1, 'w' "
            "FROM generate_series(1, 50) AS n"
        )
    )
    before = plain.execute(text(HISTORY)).all()
    upgrade(database_url)
    assert plain.execute(text(HISTORY)).all() == before
    assert plain.execute(text("SELECT DISTINCT answered_by FROM translation")).scalars().all() == ["model"]
    downgrade(database_url, "0001")
    assert plain.execute(text(HISTORY)).all() == before


def test_model_versions_stay_when_the_registry_comes_and_goes(database_url: str, plain: Connection) -> None:
    versions = "SELECT id, content_sha256, card, first_used_at FROM model_version ORDER BY id"
    upgrade(database_url, "0004")
    plain.execute(
        text(
            "INSERT INTO model_version (id, source_languages, target_languages, content_sha256, card) "
            "SELECT 'm@' || n, '{en}', '{fr}', n, '{\"markdown\": \"x\"}' FROM generate_series(1, 5) AS n"
        )
    )
    before = plain.execute(text(versions)).all()
    upgrade(database_url)
    assert plain.execute(text(versions)).all() == before
    plain.execute(
        text(
            "INSERT INTO model_version (id, source_languages, target_languages, content_sha256, card, first_used_at, "
            "registered_at, artifact_url, pairs) "
            "VALUES ('new@1', '{en}', '{fr}', 'n', '{}', NULL, now(), 'u', '{en-fr}')"
        )
    )
    plain.execute(
        text(
            "INSERT INTO deployment (source_language, target_language, model_version_id, role, started_by, why) "
            "VALUES ('en', 'fr', 'new@1', 'production', 'x', 'y')"
        )
    )
    downgrade(database_url, "0004")
    assert plain.execute(text(versions)).all()[:5] == before
    assert plain.execute(text("SELECT count(*) FROM model_version WHERE first_used_at IS NULL")).scalar_one() == 0
    upgrade(database_url)
    assert plain.execute(text("SELECT count(*) FROM deployment")).scalar_one() == 0


def test_indexes_and_constraints_equal_the_metadata_when_the_database_is_upgraded(
    database_url: str, plain: Connection
) -> None:
    upgrade(database_url)
    migrated = definitions(plain)
    downgrade(database_url, "base")
    metadata.create_all(plain)
    assert migrated == definitions(plain)


def test_the_command_is_named_when_the_database_was_never_upgraded(plain: Connection) -> None:
    with pytest.raises(ConfigurationError, match=r"revision none, .*`dragoman db upgrade`"):
        require_current(plain.engine)


def test_nothing_is_raised_when_the_database_is_current(database_url: str, plain: Connection) -> None:
    upgrade(database_url)
    require_current(plain.engine)


def test_a_sentence_is_raised_when_the_database_is_newer(database_url: str, plain: Connection) -> None:
    upgrade(database_url)
    plain.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigurationError, match="newer Dragoman"):
        upgrade(database_url)


def test_the_missing_right_is_named_when_the_user_may_not_create_the_extension(database_url: str) -> None:
    # This role may create tables in the schema, but no extension in the database.
    clerk = make_url(database_url).update_query_dict({"options": "-c role=pg_database_owner"})
    with pytest.raises(ConfigurationError, match="CREATE EXTENSION pg_trgm"):
        upgrade(clerk.render_as_string(hide_password=False))
    assert current_revision(database_url) is None
