"""A stage whose devices are real processes."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from dragoman.tests.unit.worker.devices.bench import PATIENCE_SECONDS, Bench
from dragoman.tests.unit.worker.devices.poison import MODULE
from dragoman.worker.devices.model_source import ImportedSource


@pytest.fixture
def bench(build: Any) -> Iterator[Bench]:
    with ExitStack() as resources:
        yield Bench(build, resources)


@pytest.fixture
def running(bench: Bench) -> Callable[..., Bench]:
    """Starts a stage with devices that echo, but for poisons, and its thread."""

    def start(name: str = "PoisonTranslator", **options: Any) -> Bench:
        bench.start(ImportedSource(f"{MODULE}:{name}"), **options).start()
        return bench

    return start


@pytest.fixture
def until() -> Callable[[Callable[[], object], str], None]:
    """Waits for a condition; fails with what it waited for."""

    def wait(condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        never = threading.Event()
        while not condition():
            assert time.monotonic() < deadline, f"waited in vain: {what}"
            never.wait(0.02)

    return wait
