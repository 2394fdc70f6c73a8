"""`dragoman demo` shows the whole pipeline, also where there is no terminal."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from dragoman.compose.local import LocalStack

pytestmark = [pytest.mark.services, pytest.mark.timeout(400)]


@pytest.fixture
def output(stack: LocalStack, database_url: str, tmp_path: Path) -> str:
    environment = os.environ | {
        "DRAGOMAN_KAFKA_BOOTSTRAP_SERVERS": stack.kafka_bootstrap_servers,
        "DRAGOMAN_DATABASE_URL": database_url,
    }
    command = [sys.executable, "-m", "dragoman", "demo"]
    finished = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=True
    )
    assert list(tmp_path.iterdir()) == [], "the demo leaves nothing behind"
    return finished.stdout


def test_the_demo_shows_every_step_and_the_history(output: str) -> None:
    assert "published  248   translated  248   recorded  248   lag    0" in output
    assert "Have you finished your homework?" in output
    assert "not_json" in output
    assert "2026-01-01 WARN this is not a job" in output
    assert "rows: 249 (1 rejected, 248 translated)" in output
    assert "padding ratio" in output
    assert "\r" not in output
