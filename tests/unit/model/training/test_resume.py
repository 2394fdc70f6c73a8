"""A run that was stopped and goes on ends exactly where an undisturbed one does."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from dragoman.errors import ConfigurationError
from dragoman.model.checkpoint_config import WEIGHTS
from dragoman.model.training import loop as looping
from dragoman.model.training import shipping
from dragoman.model.training.config import TrainConfig
from dragoman.model.training.development import measured
from dragoman.model.training.loop import TrainingInterruptedError
from dragoman.model.training.reports import Listener, TrainReport
from dragoman.model.training.run import resume, train
from dragoman.model.training.state import State, has_state, load_state, save_state
from dragoman.model.training.trainer import Trainer

MakeConfig = Callable[..., TrainConfig]

# Dropout and sampled pieces draw random numbers; pools, epochs and accumulation move the position in the data.
SHAKY: dict[str, Any] = {
    "vocabulary": {"sampling_alpha": 0.2},
    "network": {"dropout": 0.3},
    "data": {"pool_pairs": 25},
    "optimiser": {"accumulation": 2},
    "run": {"max_steps": 12, "save_minutes": 1e-9, "evaluate_steps": 5},
}


ELSEWHERE = """
import sys
from pathlib import Path
from dragoman.model.training.config import TrainConfig
from dragoman.model.training.run import resume

folder = Path(sys.argv[1])
config = TrainConfig.model_validate_json((folder / "config.json").read_text(encoding="utf-8"))
resume(config, folder, lambda _: None, folder / "killed")
"""


class KilledError(Exception):
    """What ends a run in these tests."""


def ignore(_report: TrainReport) -> None:
    """A listener that does not listen."""


def killed_at(step: int) -> Listener:
    def listener(report: TrainReport) -> None:
        if report.step == step:
            raise KilledError

    return listener


def interrupted_at(step: int, number: signal.Signals) -> Listener:
    def listener(report: TrainReport) -> None:
        if report.step == step:
            signal.raise_signal(number)

    return listener


def final_tensors(run_folder: Path) -> dict[str, torch.Tensor]:
    return load_state(run_folder).tensors


def assert_equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert [name for name in first if not torch.equal(first[name], second[name])] == []
    assert first.keys() == second.keys()


@pytest.fixture(autouse=True)
def report_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looping, "REPORT_SECONDS", 0.0)


@pytest.mark.parametrize(
    "changes",
    [
        SHAKY,
        SHAKY | {"optimiser": {"method": "muon"}},
        SHAKY | {"run": SHAKY["run"] | {"average": "last", "average_last": 2, "patience": 9}},
    ],
    ids=["adamw", "muon", "last"],
)
def test_killed_run_ends_with_the_same_bits_when_resumed(
    folder: Path, make_config: MakeConfig, changes: dict[str, Any]
) -> None:
    config = make_config(**changes)
    train(config, folder, ignore, folder / "whole")
    with pytest.raises(KilledError):
        train(config, folder, killed_at(7), folder / "killed")
    resume(config, folder, ignore, folder / "killed")

    assert_equal(final_tensors(folder / "whole"), final_tensors(folder / "killed"))


def test_killed_run_ends_with_the_same_bits_when_another_process_resumes_it(
    folder: Path, make_config: MakeConfig
) -> None:
    config = make_config(**SHAKY)
    train(config, folder, ignore, folder / "whole")
    with pytest.raises(KilledError):
        train(config, folder, killed_at(7), folder / "killed")
    (folder / "config.json").write_text(config.model_dump_json(), encoding="utf-8")
    subprocess.run([sys.executable, "-c", ELSEWHERE, str(folder)], check=True)

    assert_equal(final_tensors(folder / "whole"), final_tensors(folder / "killed"))


def test_killed_run_with_a_lexicon_ships_the_same_bits_when_resumed(folder: Path, make_config: MakeConfig) -> None:
    network = {"architecture": "recurrent", "width": 16, "state": 16, "max_positions": 128, "lexicon": True}
    config = TrainConfig.model_validate(make_config(run=SHAKY["run"]).model_dump() | {"network": network})
    whole = (train(config, folder, ignore, folder / "whole") / WEIGHTS).read_bytes()
    with pytest.raises(KilledError):
        train(config, folder, killed_at(7), folder / "killed")

    assert (resume(config, folder, ignore, folder / "killed") / WEIGHTS).read_bytes() == whole


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_saves_its_state_and_ends_with_the_same_bits_when_resumed(
    folder: Path, make_config: MakeConfig, number: signal.Signals
) -> None:
    config = make_config(**SHAKY | {"run": {"max_steps": 8}})
    train(config, folder, ignore, folder / "whole")
    with pytest.raises(TrainingInterruptedError, match=r"interrupted at step 5; the state is saved in .*stopped"):
        train(config, folder, interrupted_at(5, number), folder / "stopped")
    resume(config, folder, ignore, folder / "stopped")

    assert_equal(final_tensors(folder / "whole"), final_tensors(folder / "stopped"))


def interrupt(*_arguments: object) -> None:
    signal.raise_signal(signal.SIGINT)


def test_interrupted_evaluation_is_made_up_for_when_resumed(
    folder: Path, make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config(run={"max_steps": 6, "evaluate_steps": 4, "average": "last", "patience": 9})
    monkeypatch.setattr(shipping, "measured", interrupt)
    with pytest.raises(TrainingInterruptedError, match="interrupted at step 4"):
        train(config, folder, ignore, folder / "run")
    monkeypatch.setattr(shipping, "measured", measured)
    reports: list[TrainReport] = []
    resume(config, folder, reports.append, folder / "run")
    train(config, folder, ignore, folder / "whole")

    assert [report.step for report in reports if report.qualities] == [4, 6]
    assert_equal(final_tensors(folder / "whole"), final_tensors(folder / "run"))


def test_second_interrupt_stops_without_saving_a_half_done_step(
    folder: Path, make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trainer, "train", lambda *_: (interrupt(), interrupt()))

    with pytest.raises(TrainingInterruptedError, match="stopped at once after step 0; what was saved last is in"):
        train(make_config(), folder, ignore, folder / "run")
    assert not has_state(folder / "run")


def test_interrupt_after_the_last_step_keeps_the_state(
    folder: Path, make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipping, "measured", interrupt)

    with pytest.raises(TrainingInterruptedError, match="interrupted after the last step"):
        train(make_config(), folder, ignore, folder / "run")
    assert load_state(folder / "run").facts["step"] == 3


def test_finished_run_goes_on_when_its_limit_is_raised(folder: Path, make_config: MakeConfig) -> None:
    train(make_config(), folder, ignore, folder / "run")
    reports: list[TrainReport] = []
    resume(make_config(run={"max_steps": 5}), folder, reports.append, folder / "run")

    assert [report.step for report in reports] == [4, 5, 5]


def test_minutes_before_the_resume_count(folder: Path, make_config: MakeConfig) -> None:
    train(make_config(), folder, ignore, folder / "run")
    before = load_state(folder / "run").facts["tally"]["seconds"]
    reports: list[TrainReport] = []
    resume(make_config(run={"max_steps": 4}), folder, reports.append, folder / "run")

    assert 0 < before < reports[0].seconds


def test_metrics_of_steps_that_are_taken_again_are_replaced(folder: Path, make_config: MakeConfig) -> None:
    config = make_config(run={"max_steps": 6, "save_minutes": 1e-9})
    with pytest.raises(KilledError):
        train(config, folder, killed_at(4), folder / "run")
    resume(config, folder, ignore, folder / "run")

    lines = (folder / "run" / "metrics.jsonl").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == [f'{{"step": {step}' for step in (1, 2, 3, 4, 5, 6, 6)]


def test_resume_is_refused_where_no_state_is(folder: Path, make_config: MakeConfig) -> None:
    with pytest.raises(ConfigurationError, match="holds no state to resume: leave out --resume"):
        resume(make_config(), folder, ignore, folder / "run")


def test_resume_names_the_keys_that_have_changed(folder: Path, make_config: MakeConfig) -> None:
    train(make_config(), folder, ignore, folder / "run")
    changed = make_config(optimiser={"learning_rate": 0.5}, network={"width": 32}, run={"max_steps": 9})

    with pytest.raises(ConfigurationError, match=r"changed since the run began: network\.width, optimiser\.learning_r"):
        resume(changed, folder, ignore, folder / "run")


def test_resume_is_refused_when_the_corpus_has_changed(folder: Path, make_config: MakeConfig) -> None:
    train(make_config(), folder, ignore, folder / "run")
    with (folder / "corpus.tsv").open("a") as file:
        file.write("One more.\tEncore une.\n")

    with pytest.raises(ConfigurationError, match="the corpus has changed since the run began"):
        resume(make_config(), folder, ignore, folder / "run")


def test_resume_is_refused_when_processes_are_missing(folder: Path, make_config: MakeConfig) -> None:
    train(make_config(), folder, ignore, folder / "run")
    state = load_state(folder / "run")
    twice = state.facts | {"processes": state.facts["processes"] * 2}
    save_state(State(twice, state.tensors), folder / "run")

    with pytest.raises(ConfigurationError, match=r"made by 2 processes, not 1: .*--nproc-per-node 2"):
        resume(make_config(), folder, ignore, folder / "run")
