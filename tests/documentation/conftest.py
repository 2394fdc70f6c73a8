"""An installation for the examples of the documents: topics and tables of their own, and a worker that echoes."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from dragoman.compose.local import LocalStack
from dragoman.producer.topics import ensure_topics
from dragoman.settings import Settings, load_settings
from dragoman.storage.engine import create_database_engine, transaction
from dragoman.storage.migrate import upgrade
from dragoman.storage.models import ModelVersion, register_model_version
from dragoman.worker.devices.echo import EchoTranslator
from dragoman.worker.devices.serving import Serving
from dragoman.worker.worker import Worker


@pytest.fixture
def installation(
    stack: LocalStack, database_url: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Settings:
    """Settings as a reader of the documents has them: in the environment."""
    monkeypatch.setenv("DRAGOMAN_KAFKA_BOOTSTRAP_SERVERS", stack.kafka_bootstrap_servers)
    monkeypatch.setenv("DRAGOMAN_DATABASE_URL", database_url)
    monkeypatch.setenv("DRAGOMAN_TOPIC_PREFIX", topic_prefix)
    monkeypatch.setenv("DRAGOMAN_CONSUMER_GROUP", topic_prefix + "workers")
    monkeypatch.chdir(tmp_path)
    settings = load_settings()
    ensure_topics(settings)
    upgrade(database_url)
    return settings


@pytest.fixture
def echoing_worker(installation: Settings) -> Iterator[Worker]:
    """A worker in this process; drained at the end."""
    translator = EchoTranslator()
    engine = create_database_engine(installation.database_url.get_secret_value())
    with transaction(engine) as connection:
        register_model_version(connection, ModelVersion(translator.version, ("en",), ("fr",), "0" * 64, {}))
    worker = Worker(installation, Serving.in_process(translator), engine)
    thread = threading.Thread(target=worker.run, name="worker")
    thread.start()
    yield worker
    worker.pipeline.stopping.set()
    thread.join()
    engine.dispose()
