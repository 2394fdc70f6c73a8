"""Whole training runs of a few steps on sentences written here."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from dragoman.errors import ConfigurationError
from dragoman.model.checkpoint import CheckpointError, load_checkpoint
from dragoman.model.corpora.reading import Pair
from dragoman.model.evaluation.scores import read_test_set
from dragoman.model.training import run as training
from dragoman.model.training.config import TrainConfig
from dragoman.model.training.run import TrainingDivergedError, TrainingRun, TrainReport, encode_pairs, train
from dragoman.model.vocabularies.subwords import SubwordVocabulary
from dragoman.model.vocabularies.vocabulary import BEGIN, END

WHO = (("The dog", "Le chien"), ("The cat", "Le chat"), ("The child", "L'enfant"), ("My friend", "Mon ami"))
WHAT = (("sleeps", "dort"), ("waits", "attend"), ("sings", "chante"))
WHERE = (
    ("in the garden", "dans le jardin"),
    ("near the door", "près de la porte"),
    ("under a tree", "sous un arbre"),
    ("at home", "à la maison"),
    ("all night", "toute la nuit"),
)
PAIRS = [
    tuple(" ".join(words) + "." for words in zip(*parts, strict=True)) for parts in itertools.product(WHO, WHAT, WHERE)
]
SETTINGS: dict[str, Any] = {
    "name": "tiny-en-fr",
    "source": "en",
    "target": "fr",
    "output": "tiny",
    "data": {"train": ["corpus.tsv"], "dev": "dev.tsv"},
    "shape": {
        "vocabulary_size": 310,
        "width": 16,
        "heads": 2,
        "feed_forward": 32,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "max_positions": 128,
    },
    "optimiser": {"learning_rate": 0.01, "warmup_steps": 2},
    "run": {"batch_tokens": 300, "max_steps": 3, "threads": 1},
    "card": {"licence": "CC0 1.0", "attribution": "Written for a test.", "note": "Knows a garden."},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the corpus and the development set are."""
    lines = [f"{source}\t{target}\n" for source, target in PAIRS]
    (tmp_path / "corpus.tsv").write_text("".join(lines), encoding="utf-8")
    (tmp_path / "dev.tsv").write_text("".join(lines[::20]), encoding="utf-8")
    return tmp_path


def config(**changes: dict[str, Any]) -> TrainConfig:
    return TrainConfig.model_validate(SETTINGS | {name: SETTINGS[name] | part for name, part in changes.items()})


def ignore(_report: TrainReport) -> None:
    """A listener that does not listen."""


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("method", ["adamw", "muon"])
def test_loss_falls(folder: Path, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    monkeypatch.setattr(training, "REPORT_SECONDS", 0.0)
    reports: list[TrainReport] = []

    train(config(run={"max_steps": 40}, optimiser={"method": method}), folder, reports.append)

    assert reports[-1].loss < 0.8 * reports[0].loss


def test_run_takes_the_steps_asked_for(folder: Path) -> None:
    reports: list[TrainReport] = []

    train(config(run={"max_steps": 5}), folder, reports.append)

    assert [(report.step, report.progress) for report in reports] == [(5, 1.0)]


def test_run_ends_when_its_minutes_are_over(folder: Path) -> None:
    reports: list[TrainReport] = []

    train(config(run={"max_steps": 1_000_000, "max_minutes": 1e-6}), folder, reports.append)

    assert reports[-1].step < 10


def test_run_saves_a_checkpoint_that_loads_and_says_its_pair(folder: Path) -> None:
    output = train(config(), folder, ignore)

    loaded = load_checkpoint(output, torch.device("cpu"))
    assert (output, loaded.name, loaded.pairs) == (folder / "tiny", "tiny-en-fr", (("en", "fr"),))


@pytest.mark.parametrize(
    "words", ["CC0 1.0", "Written for a test.", "Knows a garden.", "60 pairs kept", "3 steps", "| dev.tsv |", "BLEU"]
)
def test_card_says_what_a_user_must_know(folder: Path, words: str) -> None:
    assert words in (train(config(), folder, ignore) / "README.md").read_text(encoding="utf-8")


def test_run_saves_at_every_evaluation_and_at_the_end(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[Path] = []
    monkeypatch.setattr(training, "save_checkpoint", lambda _checkpoint, output: saved.append(output))
    reports: list[TrainReport] = []

    train(config(run={"max_steps": 2, "evaluate_minutes": 1e-9}), folder, reports.append)

    assert saved == [folder / "tiny"] * 3
    assert [report.quality is not None for report in reports] == [True] * 3


def test_runs_are_equal_when_their_seeds_are(folder: Path) -> None:
    first, second = (contents(train(config(), folder, ignore))["model.safetensors"] for _ in range(2))

    assert first == second


def test_runs_differ_when_their_seeds_do(folder: Path) -> None:
    first, second = (
        contents(train(config(run={"seed": seed}), folder, ignore))["model.safetensors"] for seed in (1, 2)
    )

    assert first != second


def finished_run(folder: Path, tokenizer: SubwordVocabulary, changed: TrainConfig) -> TrainingRun:
    examples = encode_pairs([Pair(*pair) for pair in PAIRS], tokenizer, max_pieces=60)
    run = TrainingRun(changed, tokenizer, examples, read_test_set(folder / "dev.tsv"))
    run.run(ignore, folder / "tiny", "60 pairs")
    return run


def distance_of_the_average(run: TrainingRun) -> float:
    pairs = zip(run.network.parameters(), run.average.parameters(), strict=True)
    return max(float((current - average).detach().abs().max()) for current, average in pairs)


def test_average_is_the_network_when_nothing_is_kept(folder: Path, tokenizer: SubwordVocabulary) -> None:
    run = finished_run(folder, tokenizer, config(run={"average_decay": 0.0}))

    assert distance_of_the_average(run) == 0


def test_average_lags_behind_the_network_when_much_is_kept(folder: Path, tokenizer: SubwordVocabulary) -> None:
    run = finished_run(folder, tokenizer, config(run={"average_decay": 0.999}))

    assert distance_of_the_average(run) > 0.001


def test_examples_have_their_marks(tokenizer: SubwordVocabulary) -> None:
    [example] = encode_pairs([Pair("warm bread", "pain chaud")], tokenizer, max_pieces=60)

    assert (example.source[-1], example.target[0], example.target[-1]) == (END, BEGIN, END)


def test_long_pair_is_left_out(tokenizer: SubwordVocabulary) -> None:
    pairs = [Pair("Yes.", "Le vieux pont traverse la rivière."), Pair("Yes.", "Oui.")]

    assert len(encode_pairs(pairs, tokenizer, max_pieces=10)) == 1


def loss_with_broken_gradient(run: TrainingRun, *_batch: torch.Tensor) -> torch.Tensor:
    return (run.network.embedding.weight * 0).sqrt().sum()


def loss_of_nan(run: TrainingRun, *_batch: torch.Tensor) -> torch.Tensor:
    return run.network.embedding.weight.sum() * float("nan")


@pytest.mark.parametrize(("loss", "name"), [(loss_of_nan, "loss"), (loss_with_broken_gradient, "gradient")])
def test_run_that_diverges_leaves_the_last_checkpoint(
    folder: Path, monkeypatch: pytest.MonkeyPatch, loss: Callable[..., torch.Tensor], name: str
) -> None:
    before = contents(train(config(), folder, ignore))
    monkeypatch.setattr(TrainingRun, "_loss", loss)

    with pytest.raises(TrainingDivergedError, match=rf"the {name} is nan at step 0: lower optimiser\.learning_rate"):
        train(config(), folder, ignore)

    assert contents(folder / "tiny") == before


def test_empty_corpus_is_refused(folder: Path) -> None:
    (folder / "corpus.tsv").write_text("\tun\ndeux\t\n")

    with pytest.raises(
        ConfigurationError, match=r"the corpus is empty after cleaning \(0 pairs kept; dropped: 2 empty"
    ):
        train(config(), folder, ignore)


def test_corpus_of_too_long_pairs_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"every pair has more than 2 pieces: raise data\.max_pieces"):
        train(config(data={"max_pieces": 2}), folder, ignore)


def test_empty_development_set_is_refused(folder: Path) -> None:
    (folder / "dev.tsv").write_text("")

    with pytest.raises(ConfigurationError, match=r"the test set .*dev\.tsv is empty"):
        train(config(), folder, ignore)


def test_development_set_is_refused_before_the_first_step_when_it_is_too_long(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "dev.tsv").write_text(f"{'garden ' * 90}\tjardin\n")
    monkeypatch.delattr(TrainingRun, "_train_batch")

    with pytest.raises(ConfigurationError, match=r"text 1 has .* pieces, the model takes 58"):
        train(config(), folder, ignore)


def test_output_of_something_else_is_refused_before_the_corpus_is_read(folder: Path) -> None:
    (folder / "tiny").mkdir()
    (folder / "tiny" / "dear.txt").write_text("Keep me.")
    (folder / "corpus.tsv").unlink()

    with pytest.raises(CheckpointError, match="exists and is not a checkpoint"):
        train(config(), folder, ignore)
