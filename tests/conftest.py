"""Fixtures of all tests: a real Kafka and a real PostgreSQL, and an environment without the developer's own.

A service that cannot start fails the tests; it never skips them. Services named by
DRAGOMAN_KAFKA_BOOTSTRAP_SERVERS and DRAGOMAN_DATABASE_URL are used instead of local ones.
"""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
from dragoman.compose.local import KafkaOptions, LocalStack, StackOptions
from psycopg2 import sql
from sqlalchemy.engine import URL, make_url

# A lost worker's partitions move after this, not after the 45 s of a real cluster.
CONSUMER_SESSION_TIMEOUT_SECONDS = 6.0
# Where downloads are kept is the machine's business; every other variable is the test's own.
KEPT_VARIABLES = {"DRAGOMAN_CACHE_DIR"}


@pytest.fixture(scope="session")
def stack() -> Iterator[LocalStack]:
    """A running Kafka and PostgreSQL in a temporary folder, shared by all tests."""
    options = StackOptions(kafka=KafkaOptions(consumer_session_timeout_seconds=CONSUMER_SESSION_TIMEOUT_SECONDS))
    with LocalStack(options.with_given_services()) as running:
        yield running


@pytest.fixture
def database_url(stack: LocalStack) -> Iterator[str]:
    """A fresh, empty database as SQLAlchemy URL, dropped at the end."""
    server = make_url(stack.database_url)
    name = f"test_{secrets.token_hex(6)}"
    _execute(server, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield server.set(database=name).render_as_string(hide_password=False)
    _execute(server, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def topic_prefix() -> str:
    """What a test puts before its topic names, to share the broker with the others."""
    return f"t{secrets.token_hex(4)}."


@pytest.fixture(scope="session")
def empty_env_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A settings file that sets nothing."""
    path = tmp_path_factory.mktemp("settings") / "empty.env"
    path.touch()
    return path


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch, empty_env_file: Path) -> None:
    """Hide the developer's DRAGOMAN_... variables and `.dragoman/stack.env`, from subprocesses too."""
    for name in [name for name in os.environ if name.startswith("DRAGOMAN_")]:
        if name not in KEPT_VARIABLES:
            monkeypatch.delenv(name)
    monkeypatch.setenv("DRAGOMAN_ENV_FILE", str(empty_env_file))


def _execute(server: URL, statement: sql.Composed) -> None:
    connection = psycopg2.connect(
        host=server.host,
        port=server.port,
        user=server.username,
        password=server.password,
        dbname=server.database,
    )
    try:
        connection.autocommit = True  # databases are not created or dropped inside a transaction
        connection.cursor().execute(statement)
    finally:
        connection.close()
