"""The process of a device ends with its worker, and nothing else ends it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from dragoman.tests.unit.worker.devices.poison import HANG, MODULE

PARENT = f"""
import sys, threading, time
from dragoman.worker.devices.device_models import DeviceOrder
from dragoman.worker.devices.events import Group, Ready
from dragoman.worker.devices.model_source import ImportedSource
from dragoman.worker.devices.process_device import ProcessDevice

def main():
    device = ProcessDevice(DeviceOrder("cpu", (("poison@0", ImportedSource("{MODULE}:PoisonTranslator")),)))
    device.start()
    while not any(isinstance(event, Ready) for event in device.receive(1.0)):
        pass
    device.submit(Group(1, "poison@0", 1, 1.0, (tuple(map(ord, sys.argv[1])),)))
    print(device.process_id, flush=True)
    threading.Event().wait()

if __name__ == "__main__":
    main()
"""


def gone(process_id: int) -> bool:
    """Whether there is no such process, or only its remains."""
    try:
        return psutil.Process(process_id).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_device_ends_when_its_worker_is_killed(tmp_path: Path, until: Callable[..., None]) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    with subprocess.Popen([sys.executable, str(script), "text"], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
    until(lambda: gone(child), "the process of the device is gone")


def test_a_device_that_hangs_ends_when_its_worker_is_killed(tmp_path: Path, until: Callable[..., None]) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    with subprocess.Popen([sys.executable, str(script), HANG], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        os.kill(child, signal.SIGSTOP)
        parent.kill()
    until(lambda: gone(child), "the process of the device is gone")


def test_a_device_goes_on_when_the_whole_group_is_signalled(running: Callable[..., Any]) -> None:
    bench = running()
    bench.ended(["before"])
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(bench.devices[0].process_id, number)

    assert bench.ended(["after"]) == {"after": "translated"}
    assert bench.metric("device_restarts_total", fault="exited") == 0


def test_a_device_ends_when_the_stage_is_stopped(running: Callable[..., Any]) -> None:
    bench = running()
    bench.ended(["text"])
    child = bench.devices[0].process_id

    assert bench.stage.stop(30.0)
    assert gone(child)
