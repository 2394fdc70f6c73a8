"""Trainings as processes of their own: killed, interrupted, and several at once."""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from dragoman.cli.train import train as train_command
from dragoman.model.training.config import load_train_config
from dragoman.model.training.reports import TrainReport
from dragoman.model.training.run import resume, train
from dragoman.model.training.state import load_state

CORPUS = [
    f"{who_en} {what_en} {where_en}.\t{who_fr} {what_fr} {where_fr}.\n"
    for who_en, who_fr in (("The dog", "Le chien"), ("The cat", "Le chat"), ("My friend", "Mon ami"))
    for what_en, what_fr in (("sleeps", "dort"), ("waits", "attend"), ("sings", "chante"))
    for where_en, where_fr in (("in the garden", "dans le jardin"), ("at home", "à la maison"))
]
CONFIG = """
name = "tiny"
pairs = ["en-fr"]
output = "{output}"
[data]
corpora = [{{ path = "corpus.tsv", languages = ["en", "fr"] }}]
dev = [{{ path = "dev.tsv", languages = ["en", "fr"] }}]
max_pieces = 40
pool_pairs = {pool_pairs}
[vocabulary]
kind = "{kind}"
size = 300
[network]
width = 16
heads = 2
feed_forward = 32
encoder_layers = 1
decoder_layers = 1
dropout = {dropout}
[optimiser]
clip_norm = 100.0
accumulation = {accumulation}
[run]
batch_tokens = {batch_tokens}
max_steps = {steps}
save_minutes = 1e-9
threads = 1
device = "cpu"
precision = "fp32"
[card]
licence = "CC0"
attribution = "Written for a test."
"""
STEPS_OF_A_LONG_RUN = 100_000
# What Adam remembers of the gradients. Weights would not do: where a gradient is nothing but rounding (a bias of
# keys), Adam makes it large.
MEAN_GRADIENT = "exp_avg"

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture(autouse=True)
def threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "corpus.tsv").write_text("".join(CORPUS), encoding="utf-8")
    (tmp_path / "dev.tsv").write_text("".join(CORPUS[:2]), encoding="utf-8")
    return tmp_path


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    """Starts a program in the folder; ends it with the test if it still runs."""
    started: list[subprocess.Popen[str]] = []

    def begin(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def write_config(folder: Path, name: str, **changes: float | str) -> str:
    settings = {"dropout": 0.1, "accumulation": 1, "pool_pairs": 7, "batch_tokens": 100, "kind": "subwords"} | changes
    content = CONFIG.format(output=f"out-{name}", **settings).replace('name = "tiny"', f'name = "{name}"')
    (folder / f"{name}.toml").write_text(content, encoding="utf-8")
    return f"{name}.toml"


def wait_for_state(process: subprocess.Popen[str], run_folder: Path) -> None:
    """Block until a state is there: the process saves one after each step."""
    while not (run_folder / "state.safetensors").exists():
        assert process.poll() is None, process.communicate()[0]
        # Nothing to sleep on: `wait` with a time limit is the pause.
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.05)


def finish(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    return output


def ignore(_report: TrainReport) -> None:
    """A listener that does not listen."""


def different(first: Path, second: Path) -> list[str]:
    """Names of the tensors of two states that are not the same bits."""
    one, other = load_state(first).tensors, load_state(second).tensors
    assert one.keys() == other.keys()
    return [name for name in one if not torch.equal(one[name], other[name])]


def test_killed_run_ends_with_the_same_bits_when_resumed(folder: Path, start: Start) -> None:
    path = write_config(folder, "killed", steps=40)
    config, _ = load_train_config(folder / path)
    process = start("dragoman", "train", path)
    wait_for_state(process, folder / "runs/killed")
    process.send_signal(signal.SIGKILL)
    process.wait()
    steps_before = load_state(folder / "runs/killed").facts["step"]
    resume(config, folder, ignore, folder / "runs/killed")
    train(config, folder, ignore, folder / "runs/whole")

    assert 0 < steps_before < 40
    assert different(folder / "runs/killed", folder / "runs/whole") == []


def test_interrupted_run_ends_with_130_and_says_the_command_that_goes_on(
    folder: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = start("dragoman", "train", write_config(folder, "stopped", steps=STEPS_OF_A_LONG_RUN))
    wait_for_state(process, folder / "runs/stopped")
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    command = shlex.split(output.splitlines()[-1])

    assert (process.returncode, command[0], command[-1]) == (130, "dragoman", "--resume")
    monkeypatch.chdir(folder)
    assert "saved out-stopped" in CliRunner().invoke(train_command, [*command[2:], "--steps", "1"]).stdout


def test_two_processes_learn_what_one_learns_from_both_their_batches(folder: Path, start: Start) -> None:
    # One pair a batch: an even number of batches, so that both ways cut the same ones.
    same: dict[str, Any] = {"steps": 2, "dropout": 0.0, "pool_pairs": 1000, "batch_tokens": 42, "kind": "characters"}
    alone, together = write_config(folder, "alone", accumulation=2, **same), write_config(folder, "together", **same)
    torchrun = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "dragoman", "train", together)
    output = finish(start(*torchrun))
    train(load_train_config(folder / alone)[0], folder, ignore, folder / "runs/alone")

    one, two = (load_state(folder / "runs" / name).part("optimiser") for name in ("alone", "together"))
    gradients = [name for name in one if name.endswith(MEAN_GRADIENT)]
    apart = [name for name in gradients if not torch.allclose(one[name], two[name], rtol=1e-3, atol=1e-6)]
    assert (apart, output.count("saved out-together")) == ([], 1)
    assert max(float(one[name].abs().max()) for name in gradients) > 1e-3
