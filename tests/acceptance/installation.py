"""A whole installation for each test: topics and database of its own, and worker processes that can be killed."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from dragoman.producer.kafka import KafkaPublisher
from dragoman.producer.publisher import OutgoingMessage
from dragoman.settings import Settings
from sqlalchemy import Engine, create_engine, text

# A loaded machine is slow; none of these is a claim about speed.
START_SECONDS = 120.0
PATIENCE_SECONDS = 150.0


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Return as soon as the condition holds; fail with `what` when it never does."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    never = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        never.wait(0.1)


class WorkerProcess:
    """`dragoman worker` with its log in a file."""

    def __init__(self, environment: dict[str, str], log_path: Path, arguments: tuple[str, ...]) -> None:
        self.log_path = log_path
        with log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "dragoman", "worker", *arguments], env=environment, stderr=log
            )

    def wait_ready(self) -> None:
        """Wait until partitions are assigned and the database answers."""
        wait_until(lambda: self.process.poll() is not None or self._get("/readyz"), "the worker is ready")
        assert self.process.poll() is None, self.log_path.read_text()

    def wait_assigned(self, partitions: int) -> None:
        """Wait until it is ready and has so many partitions: it is ready with those of one lane."""
        self.wait_ready()
        wait_until(lambda: self.metric("dragoman_assigned_partitions") == partitions, "all partitions are assigned")

    def metric(self, name: str) -> float:
        """Value of a metric that has no labels."""
        lines = (self._get("/metrics") or "").splitlines()
        return next(float(line.split()[-1]) for line in lines if line.startswith(f"{name} "))

    def readiness(self) -> str:
        """What `/readyz` says."""
        return self.page("/readyz").strip()

    def page(self, path: str) -> str:
        """What the health server says, well or not."""
        return self._get(path, failures=True) or ""

    def events(self, name: str) -> list[dict[str, object]]:
        """Log events of that name so far."""
        lines = [json.loads(line) for line in self.log_path.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == name]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def terminate(self) -> int:
        """Send SIGTERM and return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def _get(self, path: str, *, failures: bool = False) -> str | None:
        started = self.events("worker_started")
        if not started:
            return None
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{started[0]['health_port']}{path}", timeout=10) as answer:
                page: str = answer.read().decode()
                return page
        except urllib.error.HTTPError as error:
            return error.read().decode() if failures else None
        except OSError:
            return None


class Installation:
    """Settings, database and topics of one test."""

    def __init__(self, settings: Settings, folder: Path, resources: ExitStack) -> None:
        self.settings = settings
        self._folder = folder
        self._resources = resources
        self._workers = 0
        self.engine: Engine = create_engine(settings.database_url.get_secret_value(), pool_pre_ping=True)
        resources.callback(self.engine.dispose)

    @property
    def environment(self) -> dict[str, str]:
        """Variables that bring a subprocess into this installation."""
        given = self.settings.model_dump(exclude_defaults=True) | {"database_url": self._url()}
        return os.environ | {f"DRAGOMAN_{name.upper()}": str(value) for name, value in given.items()}

    def start_worker(self, *arguments: str, **variables: str) -> WorkerProcess:
        """A worker that may not be ready yet; killed at the end of the test if it still runs."""
        self._workers += 1
        fast = {"DRAGOMAN_HEALTH_PORT": "0", "DRAGOMAN_BEAM_SIZE": "1", "DRAGOMAN_LOG_FORMAT": "json"}
        environment = self.environment | fast | variables
        worker = WorkerProcess(environment, self._folder / f"worker-{self._workers}.log", arguments)
        self._resources.callback(worker.kill)
        return worker

    def publish_raw(self, topic: str, values: list[bytes]) -> None:
        """Publish values that no producer of ours would."""
        publisher = KafkaPublisher(self.settings)
        errors: list[str | None] = []
        for value in values:
            message = OutgoingMessage(self.settings.topic_prefix + topic, b"key", value, [])
            publisher.publish(message, lambda report: errors.append(report.error))
        wait_until(lambda: publisher.poll(0.1) or len(errors) == len(values), "raw messages are delivered")
        publisher.close()
        assert errors == [None] * len(values)

    def query(self, statement: str) -> list[tuple[object, ...]]:
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(statement))]

    def count(self, statement: str = "SELECT count(*) FROM translation") -> int:
        return int(str(self.query(statement)[0][0]))

    def _url(self) -> str:
        return self.settings.database_url.get_secret_value()
