"""A few faults of the matrix, seeded; `make faults` runs them all."""

import json
from pathlib import Path

import pytest
from dragoman.tests.faults.arena import Arena, Setup
from dragoman.tests.faults.catalog import FAULTS
from dragoman.tests.faults.fault import Fault, Verdict
from dragoman.tests.faults.ground import Ground
from dragoman.tests.faults.load import Mix
from dragoman.tests.faults.running import run_fault
from dragoman.tests.faults.standstill import describe_standstill

pytestmark = [pytest.mark.services, pytest.mark.timeout(400)]

SEED = 7
BY_NUMBER = {fault.number: fault for fault in FAULTS}
# One of each part: a worker, the network before each service, a text that brings workers down, what lies in no outbox.
FAST = ("3b", "27", "34", "43b", "55b")


def run(ground: Ground, fault: Fault, folder: Path) -> Verdict:
    return run_fault(ground, fault, folder / "run", SEED)


@pytest.mark.parametrize("number", FAST)
def test_every_invariant_holds_when_a_fault_strikes(ground: Ground, tmp_path: Path, number: str) -> None:
    verdict = run(ground, BY_NUMBER[number], tmp_path)

    assert verdict.problems == ()


def test_a_run_is_void_when_the_fault_never_struck(ground: Ground, tmp_path: Path) -> None:
    quiet = Fault("0", "nothing at all", "nothing is done", lambda _: None, Setup(workers=1, mix=Mix(100.0)))

    assert run(ground, quiet, tmp_path).problems == ("void: nothing shows that the fault struck at all",)


def test_a_standstill_is_described_by_workers_and_members(ground: Ground, tmp_path: Path) -> None:
    told: list[str] = []

    def look(arena: Arena) -> None:
        told.append(describe_standstill(arena))
        arena.bite("looked")

    verdict = run(ground, Fault("0", "a look", "nothing is done", look, Setup(workers=1, mix=Mix(100.0))), tmp_path)
    lines = [json.loads(line) for line in told[0].splitlines()]
    [worker] = [line for line in lines if "worker" in line]
    held = [partition for line in lines for partition in line.get("holds", ())]

    assert verdict.problems == ()
    assert worker["ready"]
    assert worker["assigned_partitions"] > 0
    assert 0 < len(set(held)) == len(held)


def test_a_broker_is_restarted_once_when_its_log_says_that_it_has_given_up_its_groups(ground: Ground) -> None:
    assert not ground.restart_broker_without_groups()
    before = ground.stack.kafka.pid
    with ground.stack.kafka.log.open("ab") as log:
        log.write(b"ERROR CoordinatorRuntime - Failed to load metadata from __consumer_offsets-1 with epoch 50\n")

    assert ground.restart_broker_without_groups()
    assert ground.stack.kafka.pid != before
    assert not ground.restart_broker_without_groups()
