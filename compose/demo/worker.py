"""The demo's worker: `dragoman worker` under a watchdog, so that it ends with the demo, however that ends."""

import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from ...settings import PREFIX, Settings
from ..local import ports
from ..local.service import Program, Service, Upkeep

# What the worker may drain and leave, and some.
GRACE_SECONDS = 25.0
HEALTH_TIMEOUT_SECONDS = 5.0


class WorkerService(Service):
    """A worker process for the topics and the database of `settings`; its port is that of its health checks."""

    name = "worker"

    def __init__(self, directory: Path, settings: Settings) -> None:
        super().__init__(directory, ports.chosen_or_free(None, "DRAGOMAN_HEALTH_PORT"), Upkeep(discard=(directory,)))
        self._settings = settings

    @property
    def environment(self) -> dict[str, str]:
        """The settings that lead the worker to our services and topics."""
        return {
            f"{PREFIX}KAFKA_BOOTSTRAP_SERVERS": self._settings.kafka_bootstrap_servers,
            f"{PREFIX}DATABASE_URL": self._settings.database_url.get_secret_value(),
            f"{PREFIX}TOPIC_PREFIX": self._settings.topic_prefix,
            f"{PREFIX}HEALTH_HOST": ports.HOST,
            f"{PREFIX}HEALTH_PORT": str(self.port),
            f"{PREFIX}LOG_FORMAT": "json",
        }

    def answers(self) -> bool:
        """Ask the worker whether partitions are assigned and the database answers."""
        try:
            with urllib.request.urlopen(f"http://{ports.HOST}:{self.port}/readyz", timeout=HEALTH_TIMEOUT_SECONDS):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def _program(self) -> Program:
        command = (sys.executable, "-m", "dragoman", "worker")
        return Program(steps=(), command=command, stop_signal=signal.SIGTERM, grace_seconds=GRACE_SECONDS)


@contextmanager
def worker_process(settings: Settings) -> Iterator[WorkerService]:
    """A worker that is being started; drained and stopped at the end."""
    with TemporaryDirectory(prefix="dragoman-demo-") as folder:
        worker = WorkerService(Path(folder), settings)
        worker.launch()
        try:
            yield worker
        finally:
            worker.stop()
