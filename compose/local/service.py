"""One local service: a process under its watchdog, to start, stop, kill, pause. Knows not what it runs."""

import os
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from ...errors import DragomanError
from . import watchdog
from .watchdog import Plan, Step

ASK_AGAIN_SECONDS = 0.05
FREEZE_POLL_SECONDS = 0.005
LOG_TAIL_LINES = 15
# Longer than any grace period: after it the watchdog itself is killed.
STOP_TIMEOUT_SECONDS = 60.0


class ServiceFailedError(DragomanError):
    """A local service did not start, or ended by itself; the message holds the end of its log."""


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What every service of one stack shares."""

    keep_open: tuple[int, ...] = ()  # file descriptors held as long as any process of the stack lives
    discard: tuple[Path, ...] = ()  # goes when this process dies without stopping the stack
    start_timeout_seconds: float = 120.0


@dataclass(frozen=True, slots=True)
class Program:
    """What a service runs: steps once, then the command; `run_as` is user and group id where not our own."""

    steps: tuple[Step, ...]
    command: tuple[str, ...]
    stop_signal: int
    grace_seconds: float
    run_as: tuple[int, int] | None = None


class Service(ABC):
    """A service that keeps its port and its data over `stop`, `kill` and `start`."""

    name: str

    def __init__(self, directory: Path, port: int, upkeep: Upkeep) -> None:
        self.directory = directory
        self.port = port
        self._upkeep = upkeep
        self._process: subprocess.Popen[bytes] | None = None
        self._pid: int | None = None

    @abstractmethod
    def _program(self) -> Program:
        """Say what to run; prepares the service's own folder."""

    @abstractmethod
    def answers(self) -> bool:
        """Ask the service itself whether it is ready."""

    @property
    def log(self) -> Path:
        """The file that holds what the service says."""
        return self.directory / f"{self.name.lower()}.log"

    @property
    def environment(self) -> dict[str, str]:
        """Variables that the service sees beside ours."""
        return {}

    @property
    def running(self) -> bool:
        """Whether the service's process is there (a paused one is)."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id of the running service; blocks while it is being set up."""
        if self._pid is None:
            line = self._process.stdout.readline() if self._process and self._process.stdout else b""
            if not line:
                raise ServiceFailedError(f"{self.name} is not running")
            self._pid = int(line)
        return self._pid

    def start(self) -> None:
        """Start the service and return when it answers; raises `ServiceFailedError`."""
        self.launch()
        self.wait_until_ready()

    def launch(self) -> None:
        """Start the service and return at once. Does nothing where it is running."""
        if self.running:
            return
        self._forget()
        self.directory.mkdir(parents=True, exist_ok=True)
        plan = self._plan().to_json()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", watchdog.__file__, plan],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                pass_fds=self._upkeep.keep_open,
                env=os.environ | self.environment,
                start_new_session=True,  # a Ctrl-C in the terminal is for us alone: we stop the service
            )

    def wait_until_ready(self) -> None:
        """Ask the service until it answers; raises `ServiceFailedError` when it ends or takes too long."""
        deadline = time.monotonic() + self._upkeep.start_timeout_seconds
        while not self.answers():
            self.raise_if_ended()
            if time.monotonic() > deadline:
                self.stop()
                limit = f"{self._upkeep.start_timeout_seconds:g} s"
                raise ServiceFailedError(f"{self.name} did not answer within {limit}.\n{self._log_tail()}")
            self._wait(ASK_AGAIN_SECONDS)
        self.raise_if_ended()  # another program could be the one that answers on this port

    def raise_if_ended(self) -> None:
        """Raise `ServiceFailedError` where the service's process has ended."""
        if not self.running:
            code = self._process.returncode if self._process else "none"
            raise ServiceFailedError(f"{self.name} ended by itself (exit code {code}).\n{self._log_tail()}")

    def stop(self) -> None:
        """End the service in order and wait for its end."""
        if self._process and self._process.stdin:
            with suppress(OSError):
                self._process.stdin.write(watchdog.STOP_WORD)
                self._process.stdin.flush()
            self._wait(STOP_TIMEOUT_SECONDS)
            if self.running:
                self.kill()
        self._forget()

    def kill(self) -> None:
        """End every process of the service with SIGKILL, as a crash of the machine would."""
        family = self._family()
        for process in family:
            _send(process, signal.SIGKILL)
        psutil.wait_procs(family, timeout=STOP_TIMEOUT_SECONDS)
        self._wait(STOP_TIMEOUT_SECONDS)
        self._forget()

    def restart(self) -> None:
        """Stop and start the service on the same port and data."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze every process of the service (SIGSTOP): connections stay open, nothing answers."""
        family = self._family()
        for process in family:
            _send(process, signal.SIGSTOP)
        while not all(map(_is_frozen, family)):  # the kernel stops a process soon, not at once
            time.sleep(FREEZE_POLL_SECONDS)

    def resume(self) -> None:
        """Let a paused service go on (SIGCONT)."""
        for process in reversed(self._family()):
            _send(process, signal.SIGCONT)

    def _plan(self) -> Plan:
        program = self._program()
        return Plan(
            parent_pid=os.getpid(),
            directory=str(self.directory),
            log=str(self.log),
            steps=program.steps,
            steps_done=str(self.directory / "ready"),
            command=program.command,
            stop_signal=program.stop_signal,
            grace_seconds=program.grace_seconds,
            run_as=program.run_as,
            discard=tuple(map(str, self._upkeep.discard)),
            keep_open=self._upkeep.keep_open,
        )

    @property
    def _is_set_up(self) -> bool:
        return (self.directory / "ready").exists()

    def _family(self) -> list[psutil.Process]:
        try:
            head = psutil.Process(self.pid)
            return [head, *head.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def _wait(self, timeout_seconds: float) -> None:
        if self._process:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout_seconds)

    def _forget(self) -> None:
        if self._process:
            for line in (self._process.stdin, self._process.stdout):
                with suppress(OSError):
                    line.close()  # type: ignore[union-attr]
        self._process = self._pid = None

    def _log_tail(self) -> str:
        try:
            lines = self.log.read_text(errors="replace").splitlines()
        except OSError:
            return f"It left no log at {self.log}."
        return "\n".join([f"The end of {self.log}:", *lines[-LOG_TAIL_LINES:]])


def _is_frozen(process: psutil.Process) -> bool:
    try:
        return process.status() in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def _send(process: psutil.Process, number: int) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)
