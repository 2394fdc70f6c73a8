"""A whole installation for each test."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from dragoman.compose.local import LocalStack
from dragoman.producer.topics import ensure_topics
from dragoman.settings import Settings
from dragoman.storage.migrate import upgrade
from dragoman.tests.acceptance.installation import Installation


@pytest.fixture
def installation(stack: LocalStack, database_url: str, topic_prefix: str, tmp_path: Path) -> Iterator[Installation]:
    """Topics and tables, ready for workers."""
    settings = Settings(
        kafka_bootstrap_servers=stack.kafka_bootstrap_servers,
        database_url=database_url,
        topic_prefix=topic_prefix,
        client_id="acceptance",
    )
    ensure_topics(settings)
    upgrade(database_url)
    with ExitStack() as resources:
        yield Installation(settings, tmp_path, resources)
