"""Canaries and promotions that do harm are taken back, by what the history of a real PostgreSQL says."""

import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner
from dragoman.cli.main import dragoman
from dragoman.storage.deployments import Reason, all_deployments, open_deployments, promote, set_beside
from dragoman.storage.engine import create_database_engine, transaction
from dragoman.storage.migrate import upgrade
from dragoman.storage.models import ModelVersion, register_artifact
from dragoman.worker.registry.watching import watch
from sqlalchemy import Engine, text

pytestmark = pytest.mark.services

PAIR, WHY = ("en", "fr"), Reason("someone", "because")
# `minutes` ago; every `nth` row is a copy of its source.
FILL = text("""
INSERT INTO translation (job_id, status, source_language, target_language, source_text, target_text, options, metadata,
  attempt, submitted_at, admitted_at, started_at, recorded_at, model_version_id, answered_by, kafka_topic,
  kafka_partition, kafka_offset, lease_epoch, worker_id)
SELECT gen_random_uuid(), 'translated', 'en', 'fr', 'The cat sits on a mat.',
  CASE WHEN n % :nth = 0 THEN 'The cat sits on a mat.' ELSE 'Le chat est sur un tapis.' END, '{}', '{}', 1, at, at, at,
  at + interval '0.1 second', :version, 'model', 't', 0, n, 1, 'w'
FROM (SELECT n, CAST(:at AS timestamptz) AS at FROM generate_series(1, 600) AS n) AS numbered
""")


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    upgrade(database_url)
    engine = create_database_engine(database_url)
    with transaction(engine) as connection:
        for name in ("old@1", "new@1"):
            register_artifact(connection, ModelVersion(name, ("en",), ("fr",), name, {}), [PAIR], f"file:///{name}")
        promote(connection, PAIR, "old@1", WHY)
    yield engine
    engine.dispose()


@pytest.fixture
def fill(engine: Engine) -> Callable[..., None]:
    def write(version: str, nth: int, minutes: float = 0.0) -> None:
        at = datetime.now(UTC) + timedelta(seconds=1) - timedelta(minutes=minutes)
        with transaction(engine) as connection:
            connection.execute(FILL, {"version": version, "nth": nth, "at": at})

    return write


def serving(engine: Engine) -> list[tuple[str, str]]:
    with transaction(engine) as connection:
        return [(one.role, one.model_version_id) for one in open_deployments(connection)]


def test_a_canary_that_gives_the_source_back_is_ended(engine: Engine, fill: Callable[..., None]) -> None:
    with transaction(engine) as connection:
        set_beside(connection, PAIR, "new@1", WHY, 20.0)
    fill("old@1", 300)
    fill("new@1", 10)

    (found,) = watch(engine)

    assert "10.0% (before: 0.3%) of its jobs are copies of the source" in found.why
    assert serving(engine) == [("production", "old@1")]
    with transaction(engine) as connection:
        assert all_deployments(connection, 1)[0].ended_why == found.why


def test_a_canary_that_does_well_stays(engine: Engine, fill: Callable[..., None]) -> None:
    with transaction(engine) as connection:
        set_beside(connection, PAIR, "new@1", WHY, 20.0)
    fill("old@1", 300)
    fill("new@1", 300)

    assert watch(engine) == []
    assert ("canary", "new@1") in serving(engine)


def test_a_promotion_that_does_harm_is_taken_back_once(engine: Engine, fill: Callable[..., None]) -> None:
    fill("old@1", 300, minutes=5)
    with transaction(engine) as connection:
        promote(connection, PAIR, "new@1", WHY)
    fill("new@1", 10)

    assert len(watch(engine)) == 1
    assert watch(engine) == []
    assert serving(engine) == [("production", "old@1")]
    with transaction(engine) as connection:
        latest = all_deployments(connection, 1)[0]
    assert "copies of the source" in latest.why
    assert latest.started_by == "dragoman models watch"


def test_the_commands_show_and_take_back(
    engine: Engine, fill: Callable[..., None], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRAGOMAN_DATABASE_URL", database_url)
    with transaction(engine) as connection:
        set_beside(connection, PAIR, "new@1", WHY, 20.0)
    fill("old@1", 300)
    fill("new@1", 10)
    table = CliRunner().invoke(dragoman, ["models", "compare", "en-fr"], catch_exceptions=False).output.splitlines()
    said = CliRunner().invoke(dragoman, ["models", "watch"], catch_exceptions=False).output
    told = CliRunner().invoke(dragoman, ["models", "deployments"], catch_exceptions=False).output

    assert [line.split()[:6] for line in table[1:]] == [
        ["production", "old@1", "600", "0.0%", "0.3%", "0.0%"],
        ["canary", "new@1", "600", "0.0%", "10.0%", "0.0%"],
    ]
    assert "new@1 is no canary of en-fr any more" in said
    assert "copies of the source" in told


def test_a_database_that_is_away_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRAGOMAN_DATABASE_URL", f"postgresql+psycopg2://x@127.0.0.1:1/{secrets.token_hex(4)}")
    assert CliRunner().invoke(dragoman, ["models", "watch"]).exit_code == 1
