"""Workers as forks of a process that has imported everything: a start costs a tenth of a second, not ten.

Only imports are shared. No client, thread or connection exists before the fork, and what a worker reads from its
environment when it is imported is read again. `python -m dragoman.tests.faults.nursery` is the process that forks: a
line of JSON on standard input is a worker to start, lines on standard output say which started and which ended.
"""

import json
import os
import random
import select
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

START_SECONDS = 120.0


class Forked:
    """A worker of a nursery, with what is used of `subprocess.Popen`."""

    def __init__(self, nursery: "Nursery", pid: int) -> None:
        self._nursery = nursery
        self.pid = pid

    @property
    def returncode(self) -> int | None:
        return self._nursery.ended(self.pid, 0)

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float) -> int:
        code = self._nursery.ended(self.pid, timeout)
        if code is None:
            raise subprocess.TimeoutExpired(["worker"], timeout)
        return code

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)


class Nursery:
    """Starts workers, and knows when they ended."""

    def __enter__(self) -> Self:
        self._changed = threading.Condition()
        self._started: list[int] = []
        self._codes: dict[int, int] = {}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "dragoman.tests.faults.nursery"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._reader = threading.Thread(target=self._read, name="nursery", daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(START_SECONDS)
        self._reader.join(START_SECONDS)
        if self._process.stdout:
            self._process.stdout.close()

    def start(self, environment: Mapping[str, str], log_path: Path) -> Forked:
        """Fork a worker that logs to this file; returns when it exists."""
        line = json.dumps({"environment": dict(environment), "log": str(log_path)})
        assert self._process.stdin is not None
        with self._changed:
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()
            assert self._changed.wait_for(lambda: self._started, START_SECONDS), "the nursery does not answer"
            return Forked(self, self._started.pop(0))

    def ended(self, pid: int, timeout_seconds: float) -> int | None:
        """The exit code of a worker, negative for a signal; None when it still runs after so long."""
        with self._changed:
            self._changed.wait_for(lambda: pid in self._codes, timeout_seconds)
            return self._codes.get(pid)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told = json.loads(line)
            with self._changed:
                if "code" in told:
                    self._codes[told["pid"]] = told["code"]
                else:
                    self._started.append(told["pid"])
                self._changed.notify_all()


class _Server:
    """The process that forks. One thread: a fork copies no other."""

    def __init__(self) -> None:
        self._wakes, writer = os.pipe()
        os.set_blocking(writer, False)
        os.set_blocking(self._wakes, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._children: set[int] = set()

    def run(self) -> None:
        asked = b""
        while True:
            ready, _, _ = select.select([0, self._wakes], [], [])
            if self._wakes in ready:
                os.read(self._wakes, 1024)
                self._reap()
            if 0 in ready:
                data = os.read(0, 1 << 16)
                if not data:
                    break
                *lines, asked = (asked + data).split(b"\n")
                for line in lines:
                    self._fork(json.loads(line))
        for pid in self._children:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _reap(self) -> None:
        with suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                self._children.discard(found[0])
                _tell(pid=found[0], code=os.waitstatus_to_exitcode(found[1]))

    def _fork(self, order: dict[str, Any]) -> None:
        pid = os.fork()
        if pid == 0:
            _be_a_worker(order)
        self._children.add(pid)
        _tell(pid=pid)


def _tell(**fields: int) -> None:
    os.write(1, f"{json.dumps(fields)}\n".encode())


def _be_a_worker(order: dict[str, Any]) -> None:
    from dragoman import failpoints
    from dragoman.tests.faults import entry

    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.environ.clear()
        os.environ.update(order["environment"])
        random.seed()
        failpoints.arm()
        entry.main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 - what an interpreter does at its end
        traceback.print_exc()
    finally:
        os._exit(code)


if __name__ == "__main__":
    from dragoman.tests.faults import entry as _imported_before_the_fork  # noqa: F401

    _Server().run()
