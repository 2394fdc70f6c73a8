"""A worker that cannot work says why in one sentence, and what to do, and exits with code 1."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from dragoman.storage.migrate import downgrade
from dragoman.tests.acceptance.installation import Installation

pytestmark = [pytest.mark.services, pytest.mark.timeout(300)]


def refusal(installation: Installation, *arguments: str, **variables: str) -> str:
    command = [sys.executable, "-m", "dragoman", "worker", *arguments]
    environment = installation.environment | {"DRAGOMAN_HEALTH_PORT": "0"} | variables
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert finished.returncode == 1
    assert "Traceback" not in finished.stderr
    return finished.stderr.splitlines()[-1]


def test_the_sentence_names_the_database_when_it_is_down(installation: Installation) -> None:
    sentence = refusal(installation, DRAGOMAN_DATABASE_URL="postgresql+psycopg2://dragoman:geheim@127.0.0.1:1/dragoman")
    assert "the database at 127.0.0.1:1 cannot be reached" in sentence
    assert "geheim" not in sentence


def test_the_sentence_names_the_broker_when_it_is_down(installation: Installation) -> None:
    assert "no Kafka broker answered at 127.0.0.1:1" in refusal(
        installation, DRAGOMAN_KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1"
    )


def test_the_sentence_names_the_command_when_topics_are_missing(installation: Installation) -> None:
    assert "run `dragoman topics create`" in refusal(installation, DRAGOMAN_TOPIC_PREFIX="nowhere.")


def test_the_sentence_names_the_command_when_the_database_has_no_tables(
    installation: Installation, database_url: str
) -> None:
    downgrade(database_url, "base")
    assert "run `dragoman db upgrade`" in refusal(installation)


def test_the_sentence_names_the_port_when_it_is_taken(installation: Installation) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"127.0.0.1:{port} cannot be used" in refusal(installation, DRAGOMAN_HEALTH_PORT=str(port))


def test_the_sentence_names_the_folder_when_the_checkpoint_is_missing(
    installation: Installation, tmp_path: Path
) -> None:
    assert f"there is no checkpoint folder {tmp_path / 'none'}" in refusal(
        installation, "--model", str(tmp_path / "none")
    )


def test_the_sentence_names_the_setting_when_it_is_not_usable(installation: Installation) -> None:
    assert "DRAGOMAN_BATCH_ROWS" in refusal(installation, DRAGOMAN_BATCH_ROWS="0")


def test_the_sentence_names_the_file_when_the_checkpoint_is_damaged(installation: Installation, tmp_path: Path) -> None:
    manifest = {"format_version": 2, "files": {"config.json": {"bytes": 1, "sha256": "0" * 64}}}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    assert "has no config.json" in refusal(installation, "--model", str(tmp_path))
