"""`dragoman up` as its users meet it: started, interrupted, killed, started again."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg2
import pytest
from dotenv import dotenv_values
from dragoman.compose.local import LocalStack
from dragoman.compose.local.data_dir import DataDirectory

pytestmark = pytest.mark.services

WAIT_SECONDS = 60.0
COMMAND = (sys.executable, "-m", "dragoman", "up", "--data-dir")
LAST_LINE = "Ctrl-C stops both services and keeps their data.\n"


@dataclass(frozen=True, slots=True)
class Up:
    """A `dragoman up` that has said it is ready, and the processes below it."""

    process: subprocess.Popen[str]
    services: list[psutil.Process]
    env_file: Path

    def end(self, number: signal.Signals) -> int:
        """Send the signal and wait for the end of the command."""
        self.process.send_signal(number)
        self.process.communicate(timeout=WAIT_SECONDS)
        return self.process.returncode

    def still_running(self) -> list[psutil.Process]:
        """Give the services some time to go; returns those that did not."""
        return psutil.wait_procs(self.services, timeout=WAIT_SECONDS)[1]

    def execute(self, statement: str) -> list[tuple[object, ...]]:
        """Run one statement in the database that the env file names."""
        url = dotenv_values(self.env_file)["DRAGOMAN_DATABASE_URL"]
        assert url is not None
        connection = psycopg2.connect(url.replace("+psycopg2", ""))
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            rows = cursor.fetchall()
        connection.close()
        return rows


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], Up]]:
    """Start `dragoman up` on one and the same data folder, as often as a test likes."""
    started: list[subprocess.Popen[str]] = []

    def run() -> Up:
        process = subprocess.Popen([*COMMAND, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        assert LAST_LINE in iter(process.stdout.readline, "")
        return Up(process, psutil.Process(process.pid).children(recursive=True), tmp_path / "stack.env")

    yield run
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def given_kafka(stack: LocalStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `dragoman up` use the tests' Kafka: it then starts its own PostgreSQL only, in a second."""
    monkeypatch.setenv("DRAGOMAN_KAFKA_BOOTSTRAP_SERVERS", stack.kafka_bootstrap_servers)


def refusal(*arguments: str) -> str:
    """Run a `dragoman up` that cannot start; returns what it says."""
    refused = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    return refused.stderr


def test_up_refuses_data_that_another_stack_uses(tmp_path: Path) -> None:
    folder = DataDirectory(tmp_path)
    said = refusal(str(tmp_path))
    folder.release()
    assert f"is in use by another local stack (process {os.getpid()})" in said


def test_up_refuses_a_busy_port_the_user_chose(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        said = refusal(str(tmp_path), "--kafka-port", port)
    assert f"dragoman: port {port} is in use: choose another with --kafka-port" in said


def test_nothing_is_left_when_up_is_killed(start: Callable[[], Up]) -> None:
    up = start()
    assert {"java", "postgres"} <= {service.name() for service in up.services}
    assert up.end(signal.SIGKILL) == -signal.SIGKILL
    assert up.still_running() == []
    assert not up.env_file.exists()


@pytest.mark.usefixtures("given_kafka")
def test_nothing_is_left_when_up_is_interrupted(start: Callable[[], Up]) -> None:
    up = start()
    assert up.end(signal.SIGINT) == 0
    assert up.still_running() == []
    assert not up.env_file.exists()


@pytest.mark.usefixtures("given_kafka")
def test_data_is_there_again_when_up_was_terminated(start: Callable[[], Up]) -> None:
    first = start()
    first.execute("CREATE TABLE kept AS SELECT 42 AS value; SELECT 1")
    assert first.end(signal.SIGTERM) == 0
    assert start().execute("SELECT value FROM kept") == [(42,)]


@pytest.mark.usefixtures("given_kafka")
def test_up_fails_with_the_end_of_the_log_when_a_service_ends_by_itself(start: Callable[[], Up]) -> None:
    up = start()
    next(service for service in up.services if service.name() == "postgres").kill()
    assert up.process.wait(WAIT_SECONDS) == 1
    assert up.still_running() == []
