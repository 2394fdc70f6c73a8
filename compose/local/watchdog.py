"""Runs one service as its child, and ends it when the parent says so or is gone, however it went.

A script of its own, started as `python watchdog.py PLAN` with the plan as JSON: it imports nothing of ours,
so that it is up at once. Standard input is the line to the parent: the word `stop`, or its end. Standard
output tells the parent the service's process id. Knows no Kafka and no PostgreSQL.
"""

import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

STOP_WORD = b"stop"
# A fork of the parent can hold the line open after the parent's death: so we also look whose child we are.
PARENT_CHECK_SECONDS = 1.0
KILL_WAIT_SECONDS = 10.0

PR_SET_PDEATHSIG, PR_SET_KEEPCAPS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 1, 8, 47, 2
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 1, 2
CAPABILITY_VERSION = 0x20080522


@dataclass(frozen=True, slots=True)
class Step:
    """A command that must succeed before the service runs the first time."""

    command: tuple[str, ...]
    stdin: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run, as whom, and how to end it. `discard` goes when the parent dies without a word."""

    parent_pid: int
    directory: str
    log: str
    steps: tuple[Step, ...]
    steps_done: str
    command: tuple[str, ...]
    stop_signal: int
    grace_seconds: float
    run_as: tuple[int, int] | None
    discard: tuple[str, ...]
    keep_open: tuple[int, ...]

    def to_json(self) -> str:
        """Return the plan as the script's argument."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Plan":
        """Read what `to_json` wrote."""
        fields: dict[str, Any] = json.loads(text)
        steps = tuple(Step(tuple(step["command"]), step["stdin"]) for step in fields.pop("steps"))
        return cls(steps=steps, **fields)


class Watchdog:
    """Supervises one child after the other: the steps, then the service."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._signals = _signal_pipe()
        self._before_exec = _before_exec(plan)

    def run(self) -> int:
        """Run the plan; returns the exit code of the step that failed, or of the service."""
        for step in self._plan.steps:
            code = self._supervise(self._spawn(step.command, step.stdin))
            if code:
                return code
        Path(self._plan.steps_done).touch()
        service = self._spawn(self._plan.command, "")
        with suppress(OSError):  # the parent can be gone already: then the next look ends the service
            os.write(1, f"{service.pid}\n".encode())
        return self._supervise(service)

    def _spawn(self, command: tuple[str, ...], stdin: str) -> subprocess.Popen[bytes]:
        with open(self._plan.log, "ab") as log:
            child = subprocess.Popen(
                command,
                cwd=self._plan.directory,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=self._plan.keep_open,
                preexec_fn=self._before_exec,  # safe: this process has one thread
            )
        assert child.stdin is not None  # noqa: S101 - tells the type checker what PIPE means
        with suppress(OSError):
            child.stdin.write(stdin.encode())
            child.stdin.close()
        return child

    def _supervise(self, child: subprocess.Popen[bytes]) -> int:
        try:
            while child.poll() is None:
                self._leave_if_told(child)
        finally:
            self._end(child)
        return child.returncode

    def _leave_if_told(self, child: subprocess.Popen[bytes]) -> None:
        ready, _, _ = select.select([0, self._signals], [], [], PARENT_CHECK_SECONDS)
        word = os.read(0, 64) if 0 in ready else None
        caught = os.read(self._signals, 64) if self._signals in ready else b""
        if word == b"" or os.getppid() != self._plan.parent_pid:
            self._end(child)
            self._discard()
            raise SystemExit(0)
        if word or any(number != signal.SIGCHLD for number in caught):
            raise SystemExit(0)

    def _end(self, child: subprocess.Popen[bytes]) -> None:
        if child.poll() is not None:
            return
        family = _family(child.pid)
        for process in family:  # one that was paused would never hear the signal
            _signal(process, signal.SIGCONT)
        child.send_signal(self._plan.stop_signal)
        with suppress(subprocess.TimeoutExpired):
            child.wait(self._plan.grace_seconds)
        for process in family:
            _signal(process, signal.SIGKILL)
        child.wait()
        psutil.wait_procs(family, timeout=KILL_WAIT_SECONDS)

    def _discard(self) -> None:
        for path in map(Path, self._plan.discard):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _family(pid: int) -> list[psutil.Process]:
    try:
        head = psutil.Process(pid)
        return [head, *head.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _signal(process: psutil.Process, number: int) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def _signal_pipe() -> int:
    """Turn signals into bytes that `select` sees, so that a child's end wakes us at once."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    return reader


def _before_exec(plan: Plan) -> Callable[[], None] | None:
    if plan.run_as is None and sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None

    def prepare() -> None:
        if plan.run_as is not None:
            _become(plan.run_as, libc)
        if libc is not None:  # should this process be killed, the service goes too
            libc.prctl(PR_SET_PDEATHSIG, plan.stop_signal, 0, 0, 0)

    return prepare


def _become(run_as: tuple[int, int], libc: ctypes.CDLL | None) -> None:
    """Leave root for an ordinary user.

    PostgreSQL refuses root, but its files can lie below a folder that only root may enter. On Linux the
    right to pass through folders is kept, instead of opening the folders for everybody.
    """
    permitted = _permitted_capabilities() if libc is not None else 0
    kept = next((bit for bit in (CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE) if permitted >> bit & 1), None)
    if libc is not None and kept is not None:
        libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setgid(run_as[1])
    os.setuid(run_as[0])
    if libc is not None and kept is not None:
        header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
        sets = (ctypes.c_uint32 * 6)(*([1 << kept] * 3), 0, 0, 0)  # effective, permitted, inheritable
        libc.capset(header, sets)
        libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, kept, 0, 0)


def _permitted_capabilities() -> int:
    status = Path("/proc/self/status").read_text()
    lines = (line.partition(":") for line in status.splitlines())
    return next((int(value, 16) for name, _, value in lines if name == "CapPrm"), 0)


if __name__ == "__main__":
    sys.exit(Watchdog(Plan.from_json(sys.argv[1])).run() & 0xFF)
