"""A device that dies, hangs or fails: the others' texts are translated, and only the poison is given up."""

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
from dragoman.tests.unit.worker.devices.poison import EXIT, HANG, HUNGRY, KILL, MODULE, RAISE, SEGFAULT
from dragoman.worker.devices.device import DeviceLostError
from dragoman.worker.devices.model_source import ImportedSource

TEXTS = [f"text {number:02}" for number in range(20)]


def test_every_text_is_translated_when_nothing_happens(running: Callable[..., Any]) -> None:
    ended = running().ended(TEXTS)

    assert ended == dict.fromkeys(TEXTS, "translated")


@pytest.mark.parametrize(
    ("magic", "fault"), [(KILL, "exited"), (SEGFAULT, "exited"), (EXIT, "exited")], ids=["SIGKILL", "SIGSEGV", "exit"]
)
def test_only_the_poison_fails_when_the_device_dies_of_it(running: Callable[..., Any], magic: str, fault: str) -> None:
    bench = running(attempts=2)
    ended = bench.ended([*TEXTS, magic])

    assert ended.pop(magic) == "failed"
    assert ended == dict.fromkeys(TEXTS, "translated")
    # One death among all, one or two in quarters of it, two alone; a busy machine may bring the texts one by one.
    assert 2 <= bench.metric("device_restarts_total", fault=fault) <= 5


def test_only_the_poison_fails_when_the_device_hangs_on_it(running: Callable[..., Any]) -> None:
    bench = running(attempts=1, silent_seconds=5.0)
    ended = bench.ended(["one", "two", HANG, "three"])

    assert ended == {"one": "translated", "two": "translated", HANG: "failed", "three": "translated"}
    assert bench.metric("device_restarts_total", fault="hung") >= 2


def test_only_the_poison_fails_when_the_model_raises_an_error(running: Callable[..., Any]) -> None:
    bench = running()
    ended = bench.ended([*TEXTS, RAISE])

    assert ended.pop(RAISE) == "failed"
    assert ended == dict.fromkeys(TEXTS, "translated")
    assert bench.metric("device_restarts_total", fault="error") == 0


def test_all_is_translated_in_smaller_groups_when_memory_runs_out(running: Callable[..., Any]) -> None:
    texts = [f"{HUNGRY}{number}" for number in range(8)]
    bench = running()

    assert bench.ended(texts) == dict.fromkeys(texts, "translated")
    assert bench.metric("out_of_memory_total") >= 1


def test_work_goes_on_when_an_idle_device_is_killed(running: Callable[..., Any], until: Callable[..., None]) -> None:
    bench = running()
    bench.ended(["before"])
    os.kill(bench.devices[0].process_id, signal.SIGKILL)
    until(lambda: bench.metric("device_restarts_total", fault="exited") == 1, "the death is noticed")

    assert bench.ended(["after"]) == {"after": "translated"}


def test_a_frozen_device_is_started_again(running: Callable[..., Any]) -> None:
    bench = running(silent_seconds=5.0)
    bench.ended(["before"])
    os.kill(bench.devices[0].process_id, signal.SIGSTOP)

    assert bench.ended(["after"]) == {"after": "translated"}
    assert bench.metric("device_restarts_total", fault="hung") >= 1


def test_the_other_device_goes_on_when_one_dies_of_a_poison(running: Callable[..., Any]) -> None:
    bench = running(devices=2, attempts=1)
    ended = bench.ended([KILL, *TEXTS])

    assert ended.pop(KILL) == "failed"
    assert ended == dict.fromkeys(TEXTS, "translated")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("Broken", "fails on every text"), ("Deadly", "did not come up 5 times in a row")],
    ids=["raises", "dies"],
)
def test_the_stage_fails_when_the_model_fails_on_a_plain_word(bench: Any, name: str, sentence: str) -> None:
    with pytest.raises(DeviceLostError, match=sentence):
        bench.start(ImportedSource(f"{MODULE}:{name}")).prepare()


def test_a_text_that_raises_is_found_on_the_device(running: Callable[..., Any]) -> None:
    """The worker sees two passes that failed: the batch, and the text alone."""
    bench = running()

    ended = bench.ended([f"text {number}" for number in range(31)] + [RAISE])

    assert (ended.pop(RAISE), set(ended.values())) == ("failed", {"translated"})
    assert bench.metric("translate_failures_total") == 2
