"""A thread of the worker that says when it last moved and why it died. Knows nothing of its work."""

import threading
import time
from abc import ABC, abstractmethod

import structlog

log = structlog.get_logger(__name__)


class Stage(ABC):
    """Runs `work` again and again until stopped; an error it does not handle stops the whole worker."""

    def __init__(self, name: str, worker_stopping: threading.Event) -> None:
        self.name = name
        self.failure: BaseException | None = None
        self.last_beat_seconds = time.monotonic()
        self._worker_stopping = worker_stopping
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @abstractmethod
    def work(self) -> None:
        """Do one round; block for a second at most when there is nothing to do."""

    def wind_up(self) -> None:  # noqa: B027 - most stages have nothing to do here
        """Do what is left when the thread has been asked to end."""

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_seconds: float) -> bool:
        """Ask the thread to end after its round; False if it has not within the timeout."""
        self._stopped.set()
        self._thread.join(max(0.0, timeout_seconds))
        return not self._thread.is_alive()

    @property
    def stopping(self) -> bool:
        return self._stopped.is_set()

    def pause(self, seconds: float) -> None:
        """Wait before trying again, unless we are stopped meanwhile."""
        self._stopped.wait(seconds)

    def _run(self) -> None:
        try:
            while not self._stopped.is_set():
                self.last_beat_seconds = time.monotonic()
                self.work()
            self.wind_up()
        except BaseException as error:  # noqa: BLE001 - whatever it is, the worker must stop and say so
            self.failure = error
            log.error("stage_failed", stage=self.name, error=type(error).__name__)
            self._worker_stopping.set()
