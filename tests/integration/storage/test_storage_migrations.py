"""Migrations on a real PostgreSQL: there, back and there again, and always equal to the metadata."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from dragoman.errors import ConfigurationError, TransientError
from dragoman.storage.engine import create_database_engine
from dragoman.storage.migrate import ADVISORY_LOCK, current_revision, downgrade, upgrade
from dragoman.storage.revision import head_revision, require_current
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


def test_the_history_stays_when_columns_of_privacy_come_and_go(database_url: str, plain: Connection) -> None:
    upgrade(database_url, "0004")
    plain.execute(
        text(
            "INSERT INTO translation (job_id, status, target_text, options, metadata, attempt, submitted_at, "
            "admitted_at, kafka_topic, kafka_partition, kafka_offset, lease_epoch, worker_id) "
            "SELECT gen_random_uuid(), 'translated', 'x' || n, '{}', '{}', 1, now(), now(), 't', 0, n, 1, 'w' "
            "FROM generate_series(1, 50) AS n"
        )
    )
    plain.execute(
        text(
            "INSERT INTO outbox (event_id, job_id, topic, headers, payload) SELECT job_id, job_id, 'r', "
            "'[]', 'x' FROM translation"
        )
    )
    before = plain.execute(text(HISTORY)).all()
    for _ in range(2):
        upgrade(database_url)
        plain.execute(text("INSERT INTO client (id) VALUES ('shop')"))
        assert plain.execute(text(HISTORY)).all() == before
        assert plain.execute(text("SELECT sum(rows)::int FROM daily_volume")).scalar_one() == 50
        downgrade(database_url, "0004")
        assert plain.execute(text(HISTORY)).all() == before
        assert plain.execute(text("SELECT count(*) FROM outbox")).scalar_one() == 50


def test_the_history_stays_when_corrections_come_and_go(database_url: str, plain: Connection) -> None:
    upgrade(database_url, "0004")
    plain.execute(
        text(
            "INSERT INTO translation (job_id, status, options, metadata, attempt, submitted_at, admitted_at, "
            "kafka_topic, kafka_partition, kafka_offset, lease_epoch, worker_id, answered_by) "
            "SELECT gen_random_uuid(), 'translated', '{}', '{}', 1, now(), now(), 't', 0, n, 1, 'w', 'memory' "
            "FROM generate_series(1, 50) AS n"
        )
    )
    before = plain.execute(text(HISTORY)).all()
    upgrade(database_url, "0005")
    plain.execute(
        text(
            "INSERT INTO correction (id, chain, revision, source_language, target_language, source_text, target_text, "
            "author, origin) VALUES (gen_random_uuid(), 'x', 1, 'en', 'fr', 'a', 'b', 'me', 'cli')"
        )
    )
    plain.execute(text("UPDATE translation SET correction_id = (SELECT id FROM correction)"))
    assert plain.execute(text("SELECT count(*) FROM current_correction")).scalar_one() == 1
    assert plain.execute(text(HISTORY)).all() == before
    downgrade(database_url, "0004")
    assert plain.execute(text(HISTORY)).all() == before
    upgrade(database_url, "0005")
    assert plain.execute(text("SELECT count(*) FROM current_correction")).scalar_one() == 0


def test_corrections_and_who_may_read_them_stay_when_their_key_comes_and_goes(
    database_url: str, plain: Connection
) -> None:
    # Any role that is there.
    reader = "pg_monitor"
    kept = "SELECT source_text, target_text FROM current_correction"
    right = f"SELECT has_table_privilege('{reader}', 'current_correction', 'SELECT')"
    invoker = "SELECT reloptions FROM pg_class WHERE oid = 'current_correction'::regclass"
    upgrade(database_url, "0008")
    plain.execute(
        text(
            "INSERT INTO correction (id, chain, revision, source_language, target_language, source_text, target_text, "
            "author, origin) VALUES (gen_random_uuid(), 'x', 1, 'en', 'fr', 'a', 'b', 'me', 'cli')"
        )
    )
    plain.execute(text(f"GRANT SELECT ON current_correction TO {reader}"))
    for migrate in (upgrade, downgrade, upgrade):
        migrate(database_url, "0008" if migrate is downgrade else "0009")
        assert plain.execute(text(kept)).all() == [("a", "b")]
        assert plain.execute(text(right)).scalar_one()
        assert plain.execute(text(invoker)).scalar_one() == ["security_invoker=true"]


SUMS = """
INSERT INTO usage SELECT '2026-01-01 10:00Z'::timestamptz + interval '1 hour' * (n / 50), 'client-' || n % 2, 'bulk',
  'en', 'fr', 'translated', '', 'm', 'model', n % 50, 1, 2, 3, 0.5
FROM generate_series(0, 999) AS n
"""
TOTALS = "SELECT sum(rows), sum(source_pieces), sum(target_pieces), sum(seconds) FROM usage"
DAYS = "SELECT day::date::text, client_id, sum(rows)::int FROM {} GROUP BY 1, 2 ORDER BY 1, 2"


def test_sums_stay_when_they_are_put_together_by_the_day_and_taken_apart(database_url: str, plain: Connection) -> None:
    upgrade(database_url, "0007")
    plain.execute(text(SUMS))
    plain.execute(text("INSERT INTO watermark VALUES ('usage', '2026-02-01')"))
    before = plain.execute(text(TOTALS)).one()

    upgrade(database_url)

    assert plain.execute(text(TOTALS)).one() == before
    assert plain.execute(text("SELECT count(*) FROM usage")).scalar_one() == 40
    days = [("2026-01-01", "client-0", 350), ("2026-01-01", "client-1", 350)]
    days += [("2026-01-02", "client-0", 150), ("2026-01-02", "client-1", 150)]
    for table in ("usage_day", "latency_day", "usage_by_day", "latency_by_day", "daily_volume", "daily_latency"):
        assert plain.execute(text(DAYS.format(table))).all() == days
    downgrade(database_url, "0007")
    assert plain.execute(text(TOTALS)).one() == before
    assert plain.execute(text("SELECT sum(rows)::int FROM daily_volume")).scalar_one() == 1000


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
