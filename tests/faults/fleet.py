"""Worker processes under test: started, signalled, replaced, measured. Knows a worker only from outside."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from dragoman.tests.faults.entry import VARIABLE, Temper
from dragoman.tests.faults.nursery import Forked, Nursery

PATIENCE_SECONDS = 120.0
# SIGTERM to exit: the drain, the last offset commit, the leaving of the group.
GRACE_SECONDS = 15.0


def wait_until(condition: Callable[[], object], what: str, patience_seconds: float = PATIENCE_SECONDS) -> float:
    """Return, as soon as the condition holds, how many seconds that took; fail with `what` when it never does."""
    start = time.monotonic()
    never = threading.Event()
    while not condition():
        assert time.monotonic() - start < patience_seconds, f"waited in vain for {patience_seconds:.0f} s: {what}"
        never.wait(0.05)
    return time.monotonic() - start


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to start a worker."""

    environment: Mapping[str, str]
    temper: Temper = field(default_factory=Temper)
    before: tuple[str, ...] = ()  # a command before ours, such as one that sets limits
    log_to: Path | None = None  # instead of the worker's own log file


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a worker takes up."""

    resident_bytes: int
    threads: int
    files: int


class Worker:
    """One worker process; its log is a file of JSON lines."""

    def __init__(self, recipe: Recipe, log_path: Path, nursery: Nursery) -> None:
        self.log_path = log_path
        self.recipe = recipe
        environment = os.environ | dict(recipe.environment) | {VARIABLE: recipe.temper.to_json()}
        self.process: Forked | subprocess.Popen[bytes] = (
            _spawn(recipe, environment, log_path)
            if recipe.before
            else nursery.start(environment, recipe.log_to or log_path)
        )
        self.expected_end = False  # somebody kills it on purpose
        self.baseline: Footprint | None = None
        # 0 = the worker takes any that is free, and its log says which.
        self._port = int(recipe.environment.get("DRAGOMAN_HEALTH_PORT", 0)) or None

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def ready(self) -> bool:
        """Whether it has partitions and a database."""
        return self.get("/readyz") is not None

    def wait_ready(self) -> None:
        wait_until(lambda: not self.running or self.ready(), f"{self.log_path.name} is ready")
        assert self.running, f"the worker ended with {self.process.returncode} before it was ready:\n{self.tail()}"

    def get(self, path: str) -> str | None:
        """A page of its health server; None when it does not answer or says no."""
        port = self._health_port()
        if port is None:
            return None
        with (
            suppress(urllib.error.HTTPError, OSError),
            urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer,
        ):
            page: str = answer.read().decode()
            return page
        return None

    def metric(self, name: str) -> float:
        """A metric, summed over its labels; 0 when the worker does not answer."""
        lines = (self.get("/metrics") or "").splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))

    def events(self, name: str) -> list[dict[str, Any]]:
        """Log events of that name so far."""
        found = (json.loads(line) for line in self._log_lines() if f'"{name}"' in line and line.startswith("{"))
        return [event for event in found if event.get("event") == name]

    def send(self, number: int) -> None:
        if number == signal.SIGKILL:
            self.expected_end = True
        with suppress(ProcessLookupError):
            self.process.send_signal(number)

    def kill(self) -> None:
        self.send(signal.SIGKILL)
        self.process.wait(10)

    def terminate(self) -> float:
        """SIGTERM; return after how many seconds it ended. Fails when it took too long, or was not in order."""
        start = time.monotonic()
        self.expected_end = True
        self.send(signal.SIGTERM)
        try:
            code = self.process.wait(GRACE_SECONDS + 30)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"I9: {self.log_path.name} did not end after SIGTERM:\n{self.tail()}") from None
        took = time.monotonic() - start
        assert took <= GRACE_SECONDS, f"I9: {self.log_path.name} took {took:.1f} s to end after SIGTERM"
        assert code in (0, 143, -signal.SIGTERM), f"I9: {self.log_path.name} ended with {code}:\n{self.tail()}"
        return took

    def footprint(self) -> Footprint | None:
        """Memory, threads and files now; None when it has ended."""
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            process = psutil.Process(self.process.pid)
            return Footprint(process.memory_info().rss, process.num_threads(), process.num_fds())
        return None

    def tail(self) -> str:
        return "\n".join(self._log_lines()[-12:])

    def _health_port(self) -> int | None:
        if self._port is None and (started := self.events("worker_started")):
            self._port = int(started[0]["health_port"])
        return self._port

    def _log_lines(self) -> list[str]:
        return self.log_path.read_text(errors="replace").splitlines() if self.log_path.exists() else []


def _spawn(recipe: Recipe, environment: Mapping[str, str], log_path: Path) -> subprocess.Popen[bytes]:
    command = [*recipe.before, sys.executable, "-m", "dragoman.tests.faults.entry"]
    with (recipe.log_to or log_path).open("ab") as log:
        return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stderr=log)


class Fleet:
    """All workers of a run, ended ones too."""

    def __init__(self, recipe: Recipe, folder: Path, nursery: Nursery) -> None:
        self.recipe = recipe
        self._nursery = nursery
        self.all: list[Worker] = []
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def running(self) -> list[Worker]:
        return [worker for worker in self.all if worker.running]

    def start(self, recipe: Recipe | None = None, **variables: str) -> Worker:
        """A worker that may not be ready yet."""
        chosen = recipe or self.recipe
        chosen = Recipe(dict(chosen.environment) | variables, chosen.temper, chosen.before, chosen.log_to)
        worker = Worker(chosen, self._folder / f"worker-{len(self.all) + 1}.log", self._nursery)
        self.all.append(worker)
        return worker

    def start_ready(self, count: int) -> None:
        workers = [self.start() for _ in range(count)]
        for worker in workers:
            worker.wait_ready()

    def supervise(self, count: int) -> None:
        """Start workers until so many run: what a supervisor does."""
        for _ in range(count - len(self.running)):
            self.start()

    def metric(self, name: str) -> float:
        return sum(worker.metric(name) for worker in self.running)

    def events(self, name: str) -> int:
        return sum(len(worker.events(name)) for worker in self.all)

    def kill_all(self) -> None:
        for worker in self.running:
            worker.send(signal.SIGCONT)
            worker.kill()
