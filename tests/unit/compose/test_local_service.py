"""The watchdog and its service, with `sh` in the place of Kafka and PostgreSQL."""

import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from dragoman.compose.local.service import Program, Service, ServiceFailedError, Upkeep
from dragoman.compose.local.watchdog import Plan, Step

WAIT_SECONDS = 20.0
RUNS_FOR_EVER = "touch up; while :; do read line < fifo; done"


class ShellService(Service):
    """Runs a shell script; is ready when the script has made the file `up`."""

    name = "Shell"

    def __init__(self, directory: Path, script: str, upkeep: Upkeep | None = None) -> None:
        super().__init__(directory, 0, upkeep or Upkeep())
        self.script = script
        self.steps: tuple[Step, ...] = (Step(("mkfifo", "fifo")),)

    def _program(self) -> Program:
        steps = () if self._is_set_up else self.steps
        return Program(steps, ("/bin/sh", "-c", self.script), signal.SIGTERM, grace_seconds=0.2)

    def answers(self) -> bool:
        return (self.directory / "up").exists()


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Callable[..., ShellService]]:
    made: list[ShellService] = []

    def make(script: str = RUNS_FOR_EVER, upkeep: Upkeep | None = None) -> ShellService:
        made.append(ShellService(tmp_path / "shell", script, upkeep))
        return made[-1]

    yield make
    for service in made:
        service.stop()


def is_gone(process: psutil.Process) -> bool:
    """Whether the process ends within the time a test waits for anything."""
    return process in psutil.wait_procs([process], timeout=WAIT_SECONDS)[0]


def test_service_runs_when_started(shell: Callable[..., ShellService]) -> None:
    service = shell()
    service.start()
    assert psutil.Process(service.pid).cmdline()[:2] == ["/bin/sh", "-c"]


def test_service_is_gone_when_stopped(shell: Callable[..., ShellService]) -> None:
    service = shell()
    service.start()
    process = psutil.Process(service.pid)
    service.stop()
    assert not process.is_running()


def test_service_that_ignores_the_stop_signal_is_gone_after_its_grace(
    shell: Callable[..., ShellService],
) -> None:
    service = shell("trap '' TERM; " + RUNS_FOR_EVER)
    service.start()
    process = psutil.Process(service.pid)
    service.stop()
    assert not process.is_running()


def test_children_of_the_service_are_gone_when_killed(shell: Callable[..., ShellService]) -> None:
    service = shell("sh -c 'touch up; read line < fifo; :' & wait")
    service.start()
    (child,) = psutil.Process(service.pid).children()
    service.kill()
    assert is_gone(child)


def test_stopped_service_starts_again_without_its_first_steps(shell: Callable[..., ShellService]) -> None:
    service = shell()
    service.start()
    service.restart()  # a second mkfifo would fail
    assert service.running


def test_paused_service_is_stopped_all_the_same(shell: Callable[..., ShellService]) -> None:
    service = shell()
    service.start()
    process = psutil.Process(service.pid)
    service.pause()
    service.stop()
    assert not process.is_running()


def test_paused_service_is_frozen_until_resumed(shell: Callable[..., ShellService]) -> None:
    service = shell()
    service.start()
    service.pause()
    frozen = psutil.Process(service.pid).status()
    service.resume()
    assert frozen == psutil.STATUS_STOPPED
    assert psutil.Process(service.pid).status() != psutil.STATUS_STOPPED


def test_end_of_the_log_is_shown_when_the_service_ends_before_it_answers(
    shell: Callable[..., ShellService],
) -> None:
    service = shell("echo the disk is full; exit 3")
    with pytest.raises(ServiceFailedError, match=r"Shell ended by itself \(exit code 3\)(.|\n)*the disk is full"):
        service.start()


def test_end_of_the_log_is_shown_when_a_first_step_fails(shell: Callable[..., ShellService]) -> None:
    service = shell()
    service.steps = (Step(("/bin/sh",), "echo no locale; exit 4"),)
    with pytest.raises(ServiceFailedError, match=r"exit code 4(.|\n)*no locale"):
        service.start()


def test_service_that_never_answers_is_stopped_and_reported(shell: Callable[..., ShellService]) -> None:
    service = shell("exec sleep 1000", Upkeep(start_timeout_seconds=0.3))
    with pytest.raises(ServiceFailedError, match=r"did not answer within 0\.3 s"):
        service.start()
    assert not service.running


def test_service_that_was_killed_by_others_is_reported(shell: Callable[..., ShellService]) -> None:
    service = shell()
    service.start()
    watchdog = psutil.Process(service.pid).parent()
    psutil.Process(service.pid).kill()
    assert watchdog is not None
    service._wait(WAIT_SECONDS)
    with pytest.raises(ServiceFailedError, match="ended by itself"):
        service.raise_if_ended()


def test_plan_survives_its_json() -> None:
    plan = Plan(1, "d", "l", (Step(("a", "b"), "in"),), "done", ("c",), 15, 1.0, (1, 2), ("x",), (3,))
    assert Plan.from_json(plan.to_json()).to_json() == plan.to_json()


PARENT = """
    import os, signal, sys
    from pathlib import Path
    sys.path.insert(0, {tests!r})
    from test_local_service import RUNS_FOR_EVER, ShellService, Upkeep
    service = ShellService(Path({folder!r}), {script!r}, Upkeep(discard=(Path({discard!r}),)))
    service.start()
    print(service.pid, flush=True)
    {then}
"""


def parent_of_a_service(folder: Path, then: str, script: str = RUNS_FOR_EVER) -> tuple[int, psutil.Process]:
    """Run another Python that starts a service and then does what `then` says; returns its exit code too."""
    code = textwrap.dedent(PARENT).format(
        tests=str(Path(__file__).parent),
        folder=str(folder),
        script=script,
        discard=str(folder / "fifo"),
        then=then,
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        service = psutil.Process(int(parent.stdout.readline()))
        return parent.wait(WAIT_SECONDS), service


def test_service_is_gone_when_its_parent_is_killed(tmp_path: Path) -> None:
    code, service = parent_of_a_service(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)")
    assert code == -signal.SIGKILL
    assert is_gone(service)


def test_service_is_gone_when_its_parent_forgets_to_stop_it(tmp_path: Path) -> None:
    _, service = parent_of_a_service(tmp_path, "os._exit(0)")
    assert is_gone(service)


def test_service_is_gone_when_its_killed_parent_has_a_fork_that_lives_on(tmp_path: Path) -> None:
    lives_on = "os.fork() or (os.close(1), signal.alarm(30), os.read(os.open('fifo', os.O_RDWR), 1))"
    then = f"os.chdir({str(tmp_path)!r}); {lives_on}; os.kill(os.getpid(), signal.SIGKILL)"
    _, service = parent_of_a_service(tmp_path, then)
    assert is_gone(service)


def test_paused_service_is_gone_when_its_parent_is_killed(tmp_path: Path) -> None:
    _, service = parent_of_a_service(tmp_path, "service.pause(); os.kill(os.getpid(), signal.SIGKILL)")
    assert is_gone(service)
