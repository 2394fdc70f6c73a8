"""Whole training runs of a few steps on sentences written here."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from dragoman.errors import ConfigurationError
from dragoman.model.checkpoint import CheckpointError, load_checkpoint
from dragoman.model.training import loop as looping
from dragoman.model.training import shipping as shipping_module
from dragoman.model.training.config import TrainConfig
from dragoman.model.training.loss import TrainingLoss
from dragoman.model.training.reports import Listener, TrainReport
from dragoman.model.training.run import default_run_folder, train
from dragoman.model.training.state import load_state
from dragoman.model.training.trainer import Trainer, TrainingDivergedError
from dragoman.model.translator import Translator

MakeConfig = Callable[..., TrainConfig]


def ignore(_report: TrainReport) -> None:
    """A listener that does not listen."""


def run(config: TrainConfig, folder: Path, listener: Listener = ignore) -> Path:
    return train(config, folder, listener, folder / "run")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def reports_of(config: TrainConfig, folder: Path) -> list[TrainReport]:
    reports: list[TrainReport] = []
    run(config, folder, reports.append)
    return reports


@pytest.mark.parametrize("method", ["adamw", "muon"])
def test_loss_falls(folder: Path, make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    monkeypatch.setattr(looping, "REPORT_SECONDS", 0.0)
    first, *_, last = reports_of(make_config(run={"max_steps": 40}, optimiser={"method": method}), folder)

    assert first.pace
    assert last.pace
    assert last.pace.loss < 0.8 * first.pace.loss


def test_run_takes_the_steps_asked_for(folder: Path, make_config: MakeConfig) -> None:
    reports = reports_of(make_config(run={"max_steps": 5}), folder)

    assert [(report.step, report.progress) for report in reports] == [(5, 1.0)]


def test_run_ends_when_its_minutes_are_over(folder: Path, make_config: MakeConfig) -> None:
    config = make_config(run={"max_steps": 1_000_000, "max_minutes": 1e-6})

    assert reports_of(config, folder)[-1].step < 10


def test_run_ends_when_its_epochs_are_over(folder: Path, make_config: MakeConfig) -> None:
    config = make_config(run={"max_steps": 1_000_000, "max_epochs": 2})

    assert reports_of(config, folder)[-1].epoch == 2


def test_run_ends_when_evaluations_are_in_vain(folder: Path, make_config: MakeConfig) -> None:
    config = make_config(
        optimiser={"learning_rate": 1e-12}, run={"max_steps": 1_000_000, "evaluate_steps": 1, "patience": 3}
    )

    assert reports_of(config, folder)[-1].step == 4


def test_best_network_is_shipped_when_later_ones_are_worse(
    folder: Path, make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([20.0, 30.0, 10.0, 10.0])
    monkeypatch.setattr(looping, "mean_chrf", lambda _qualities: next(scores))
    config = make_config(run={"max_steps": 1000, "evaluate_steps": 2, "patience": 2, "average": "none"})

    shipped = load_checkpoint(run(config, folder), torch.device("cpu")).network.get_parameter("embedding.weight")
    state = load_state(folder / "run")
    assert (state.facts["step"], state.facts["tally"]["best_step"]) == (8, 4)
    assert torch.equal(shipped, state.tensors["best/embedding.weight"].half().float())
    assert not torch.equal(shipped, state.tensors["network/embedding.weight"].half().float())


def test_run_saves_a_checkpoint_that_loads_and_says_its_pair(folder: Path, make_config: MakeConfig) -> None:
    output = run(make_config(), folder)

    loaded = load_checkpoint(output, torch.device("cpu"))
    assert (output, loaded.name, loaded.pairs) == (folder / "tiny", "tiny-en-fr", (("en", "fr"),))


def test_run_of_both_directions_translates_both(folder: Path, make_config: MakeConfig) -> None:
    output = run(make_config(pairs=["en-fr", "fr-en"]), folder)

    translator = Translator.load(output, "cpu")
    pieces = {language: translator.encode(["La nuit."], language)[0][0] for language in ("en", "fr")}
    assert translator.pairs == (("en", "fr"), ("fr", "en"))
    assert pieces["en"] != pieces["fr"]


def test_every_direction_is_measured(folder: Path, make_config: MakeConfig) -> None:
    [report] = reports_of(make_config(pairs=["en-fr", "fr-en"]), folder)

    assert [quality.name for quality in report.qualities] == ["en-fr dev.tsv", "fr-en dev.tsv"]


def test_run_of_characters_saves_characters(folder: Path, make_config: MakeConfig) -> None:
    output = run(make_config(vocabulary={"kind": "characters", "size": 100}), folder)

    assert load_checkpoint(output, torch.device("cpu")).vocabulary.kind == "characters"


def test_run_saves_at_every_evaluation_and_at_the_end(
    folder: Path, make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[Path] = []
    monkeypatch.setattr(shipping_module, "save_checkpoint", lambda _checkpoint, output, _storage: saved.append(output))
    reports = reports_of(make_config(run={"max_steps": 2, "evaluate_steps": 1}), folder)

    assert saved == [folder / "tiny"] * 3
    assert [len(report.qualities) for report in reports] == [1] * 3


def test_evaluations_look_at_a_sample_and_the_end_at_everything(folder: Path, make_config: MakeConfig) -> None:
    watched, final = reports_of(make_config(run={"max_steps": 1, "evaluate_steps": 1, "evaluate_segments": 2}), folder)

    assert [report.qualities[0].segments for report in (watched, final)] == [2, 3]


def test_runs_are_equal_when_their_seeds_are(folder: Path, make_config: MakeConfig) -> None:
    weights = [
        contents(train(make_config(), folder, ignore, folder / name))["model.safetensors"] for name in ("one", "two")
    ]

    assert weights[0] == weights[1]


def test_runs_differ_when_their_seeds_do(folder: Path, make_config: MakeConfig) -> None:
    weights = [
        contents(train(make_config(run={"seed": seed}), folder, ignore, folder / str(seed)))["model.safetensors"]
        for seed in (1, 2)
    ]

    assert weights[0] != weights[1]


def test_run_folder_holds_what_a_person_looks_at(folder: Path, make_config: MakeConfig) -> None:
    run(make_config(), folder)

    assert {path.name for path in (folder / "run").iterdir()} == {
        "curve.png",
        "metrics.jsonl",
        "state.safetensors",
        "tensorboard",
    }


def test_metrics_say_what_the_run_said(folder: Path, make_config: MakeConfig) -> None:
    [report] = reports_of(make_config(), folder)

    [point] = [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]
    assert (point["step"], point["pace"]["loss"]) == (3, report.pace and report.pace.loss)


def test_run_folder_is_named_after_the_run_when_none_is_named(make_config: MakeConfig) -> None:
    assert default_run_folder(make_config()) == Path("runs/tiny-en-fr")


def test_fresh_run_is_refused_where_a_state_is(folder: Path, make_config: MakeConfig) -> None:
    run(make_config(), folder)

    with pytest.raises(ConfigurationError, match="holds the state of a run: go on with it by --resume"):
        run(make_config(), folder)


def broken_gradient(loss: TrainingLoss, *_batch: torch.Tensor) -> torch.Tensor:
    return (loss.network.get_parameter("embedding.weight") * 0).sqrt().sum()


def nan_loss(loss: TrainingLoss, *_batch: torch.Tensor) -> torch.Tensor:
    return loss.network.get_parameter("embedding.weight").sum() * float("nan")


@pytest.mark.parametrize(("broken", "name"), [(nan_loss, "loss"), (broken_gradient, "gradient")])
def test_run_that_diverges_leaves_checkpoint_and_state(
    folder: Path,
    make_config: MakeConfig,
    monkeypatch: pytest.MonkeyPatch,
    broken: Callable[..., torch.Tensor],
    name: str,
) -> None:
    before = contents(run(make_config(), folder))
    monkeypatch.setattr(TrainingLoss, "forward", broken)

    with pytest.raises(TrainingDivergedError, match=rf"the {name} is nan at step 0: lower optimiser\.learning_rate"):
        train(make_config(), folder, ignore, folder / "other")

    assert contents(folder / "tiny") == before
    assert not (folder / "other" / "state.safetensors").exists()


def test_empty_corpus_is_refused(folder: Path, make_config: MakeConfig) -> None:
    (folder / "corpus.tsv").write_text("\tun\ndeux\t\n")

    with pytest.raises(ConfigurationError, match=r"the corpus is empty after cleaning: .*2 empty"):
        run(make_config(), folder)


def test_corpus_of_too_long_pairs_is_refused(folder: Path, make_config: MakeConfig) -> None:
    with pytest.raises(ConfigurationError, match=r"more than 2 pieces \(raise max_pieces\)"):
        run(make_config(data={"max_pieces": 2}), folder)


def test_empty_development_set_is_refused(folder: Path, make_config: MakeConfig) -> None:
    (folder / "dev.tsv").write_text("")

    with pytest.raises(ConfigurationError, match=r"the test set .*dev\.tsv is empty"):
        run(make_config(), folder)


def test_development_set_is_refused_before_the_first_step_when_it_is_too_long(
    folder: Path, make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "dev.tsv").write_text(f"{'garden ' * 90}\tjardin\n")
    monkeypatch.delattr(Trainer, "train")

    with pytest.raises(ConfigurationError, match=r"dev\.tsv, line 1: the source has \d+ pieces, the model takes 58"):
        run(make_config(), folder)


def test_output_of_something_else_is_refused_before_the_corpus_is_read(folder: Path, make_config: MakeConfig) -> None:
    (folder / "tiny").mkdir()
    (folder / "tiny" / "dear.txt").write_text("Keep me.")
    (folder / "corpus.tsv").unlink()

    with pytest.raises(CheckpointError, match="exists and is not a checkpoint"):
        run(make_config(), folder)


def test_lexicon_is_learned_from_the_corpus_and_shipped(folder: Path, make_config: MakeConfig) -> None:
    network = {"architecture": "recurrent", "width": 16, "state": 16, "max_positions": 128, "lexicon": True}
    config = TrainConfig.model_validate(make_config().model_dump() | {"network": network})
    checkpoint = load_checkpoint(run(config, folder), torch.device("cpu"))

    lexicon = checkpoint.network.get_buffer("lexicon")
    [sleeps], [sleeps_in_french] = (checkpoint.vocabulary.encode([text]) for text in ("sleeps", "dort"))
    assert lexicon.sum(1).max().item() == pytest.approx(1, abs=1e-2)
    assert lexicon[sleeps][:, sleeps_in_french].max().item() > 0.2
