"""`dragoman evaluate` with tiny checkpoints of random weights."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from dragoman.cli import evaluate as module
from dragoman.cli.evaluate import evaluate
from dragoman.errors import ConfigurationError
from dragoman.model.architectures.transformer import Transformer, TransformerConfig
from dragoman.model.checkpoint import Checkpoint, CheckpointError, save_checkpoint
from dragoman.model.decoding import SearchOptions
from dragoman.model.evaluation.scores import score
from dragoman.model.translator import Translator
from dragoman.model.vocabularies.subwords import SubwordVocabulary

LINES = ["A boat crosses the lake.", "Two oars lie on the wet sand near the old hut.", "Yes.", "The wind turns."]
VOCABULARY_SIZE = 286
PAIRS = (("en", "fr"), ("fr", "en"))


def save(folder: Path, seed: int, pairs: tuple[tuple[str, str], ...]) -> Path:
    torch.manual_seed(seed)
    tokenizer = SubwordVocabulary.train(LINES, VOCABULARY_SIZE)
    shape = TransformerConfig(
        VOCABULARY_SIZE, width=16, heads=2, feed_forward=32, encoder_layers=1, decoder_layers=1, max_positions=128
    )
    save_checkpoint(Checkpoint(folder.name, pairs, Transformer(shape), tokenizer, "# tiny\n"), folder)
    return folder


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("checkpoints") / "tiny", 5, PAIRS)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("checkpoints") / "other", 6, PAIRS[:1])


@pytest.fixture
def test_file(tmp_path: Path) -> Path:
    path = tmp_path / "dev.en-fr.tsv"
    path.write_text("".join(f"{line}\t{line.upper()}\n" for line in LINES), encoding="utf-8")
    return path


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(evaluate, [*map(str, arguments), "--device", "cpu", "--beam-size", "1"])


def test_scores_are_those_of_the_translations(checkpoint: Path, test_file: Path) -> None:
    result = run(checkpoint, test_file, "-s", "en", "-t", "fr")
    translations = Translator.load(checkpoint, "cpu").translate(LINES, SearchOptions(beam_size=1), target="fr")
    quality = score([one.text for one in translations], [(line.upper(),) for line in LINES])

    assert (result.exit_code, result.exception) == (0, None)
    assert f"BLEU {quality.bleu:.1f}  chrF {quality.chrf:.1f}  TER {quality.ter:.1f}\n" in result.stdout
    assert quality.ter_signature in result.stdout


def test_speed_and_padding_are_shown(checkpoint: Path, test_file: Path) -> None:
    stdout = run(checkpoint, test_file, "-s", "en", "-t", "fr").stdout

    assert [word in stdout for word in ("segments/s", "target pieces/s", "padding", "on cpu with")] == [True] * 4


def test_settings_bound_the_threads(checkpoint: Path, test_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(2)
    monkeypatch.setenv("DRAGOMAN_THREADS", "1")

    assert "on cpu with 1 threads" in run(checkpoint, test_file, "-t", "fr", "--limit", "1").stdout


def test_file_is_translated_the_other_way_round_when_asked(checkpoint: Path, test_file: Path, tmp_path: Path) -> None:
    run(checkpoint, test_file, "-s", "fr", "-t", "en", "--output", tmp_path / "report")
    rows = (tmp_path / "report" / "translations-1.fr-en.tsv").read_text(encoding="utf-8").splitlines()

    assert [row.split("\t")[:2] for row in rows] == [[line.upper(), line] for line in LINES]


def test_pair_need_not_be_named_when_there_is_but_one(other: Path, test_file: Path) -> None:
    assert ", en to fr, 4 segments" in run(other, test_file).stdout


def test_pair_must_be_named_when_there_are_two(checkpoint: Path, test_file: Path) -> None:
    assert "Name it with -s and -t; there is en-fr, fr-en" in str(run(checkpoint, test_file).exception)


def test_one_language_is_enough_when_it_settles_the_pair(checkpoint: Path, test_file: Path) -> None:
    assert ", fr to en, 4 segments" in run(checkpoint, test_file, "-s", "fr").stdout


def test_pair_that_the_checkpoint_lacks_is_refused(checkpoint: Path, test_file: Path) -> None:
    result = run(checkpoint, test_file, "-s", "en", "-t", "de")

    assert isinstance(result.exception, ConfigurationError)
    assert "does not translate en-de, only en-fr, fr-en" in str(result.exception)


def test_pair_that_the_baseline_lacks_is_refused(checkpoint: Path, other: Path, test_file: Path) -> None:
    result = run(checkpoint, test_file, "-s", "fr", "-t", "en", "--against", other)

    assert "the model other@" in str(result.exception)


def test_comparison_shows_both_and_what_chance_explains(checkpoint: Path, other: Path, test_file: Path) -> None:
    stdout = run(checkpoint, test_file, "-s", "en", "-t", "fr", "--against", other).stdout

    assert [name in stdout for name in ("  tiny@", "  other@", "(p = ", "95 % between")] == [True] * 4


def test_limit_draws_the_same_segments_for_the_same_seed(checkpoint: Path, test_file: Path, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        run(checkpoint, test_file, "-s", "en", "--limit", "2", "--seed", "4", "--output", tmp_path / folder)
    one, two = ((tmp_path / name / "translations-1.en-fr.tsv").read_text() for name in ("one", "two"))

    assert (one, len(one.splitlines())) == (two, 2)


def test_report_and_json_are_written(checkpoint: Path, test_file: Path, tmp_path: Path) -> None:
    result = run(checkpoint, test_file, "-t", "fr", "--output", tmp_path / "report", "--json", tmp_path / "out.json")
    found = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))

    assert f"report: {tmp_path / 'report' / 'report.html'}" in result.stdout
    assert (tmp_path / "report" / "report.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert "## " in (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert [test["segments"] for test in found["tests"]] == [4]


def test_several_files_are_told_apart(checkpoint: Path, test_file: Path, tmp_path: Path) -> None:
    run(checkpoint, test_file, test_file, "-t", "fr", "--output", tmp_path / "report")

    names = sorted(path.name for path in (tmp_path / "report").glob("*.tsv"))
    assert names == ["translations-1.en-fr.tsv", "translations-2.en-fr.tsv"]


def test_segments_too_long_for_the_model_are_told_and_counted(checkpoint: Path, test_file: Path) -> None:
    with test_file.open("a") as file:
        file.write("lake " * 100 + "\tlac\n")
    result = run(checkpoint, test_file, "-t", "fr")

    assert result.exit_code == 0
    assert "dev.en-fr.tsv: 1 of 5 segments have more than the" in result.stderr
    assert "they count with an empty translation" in result.stderr


def test_empty_test_set_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.en-fr.tsv").touch()

    assert "empty.en-fr.tsv is empty" in str(run(checkpoint, tmp_path / "empty.en-fr.tsv", "-t", "fr").exception)


def test_missing_references_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "dev.en-fr.tsv").write_text("Yes.\t\n")

    assert "line 1: there is no reference" in str(run(checkpoint, tmp_path / "dev.en-fr.tsv", "-t", "fr").exception)


def test_missing_test_file_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    assert "cannot be read" in str(run(checkpoint, tmp_path / "absent.tsv", "-t", "fr").exception)


def test_missing_checkpoint_is_refused(tmp_path: Path, test_file: Path) -> None:
    assert isinstance(run(tmp_path / "absent", test_file).exception, CheckpointError)


@pytest.fixture
def untouched(monkeypatch: pytest.MonkeyPatch) -> None:
    """No checkpoint can be loaded, so nothing can have been translated before a refusal."""
    monkeypatch.setattr(module, "load_translator", None)


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    ("option", "place", "problem"),
    [
        ("--output", "dev.en-fr.tsv", "{0}/dev.en-fr.tsv is not a folder, name another"),
        ("--output", "dev.en-fr.tsv/report", "{0}/dev.en-fr.tsv is not a folder, name another"),
        ("--json", "absent/x.json", "{0}/absent does not exist, make it first"),
        ("--json", "dev.en-fr.tsv/x.json", "{0}/dev.en-fr.tsv is not a folder, name another"),
        ("--json", ".", "{0} is a folder, name a file"),
    ],
)
def test_report_that_cannot_be_written_is_refused_before_anything_is_translated(
    test_file: Path, option: str, place: str, problem: str
) -> None:
    result = run("checkpoint", test_file, "-t", "fr", option, test_file.parent / place)

    assert isinstance(result.exception, ConfigurationError)
    assert str(result.exception) == f"the report cannot be written: {problem.format(test_file.parent)}"


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    ("option", "place", "protected", "advice"),
    [
        ("--output", "new/report", ".", "name another"),
        ("--json", "x.json", ".", "name another"),
        ("--json", "dev.en-fr.tsv", "dev.en-fr.tsv", "name another file"),
    ],
)
def test_protected_place_for_a_report_is_refused_before_anything_is_translated(
    test_file: Path, option: str, place: str, protected: str, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Permissions would not stop root, whom tests in a container run as.
    monkeypatch.setattr(os, "access", lambda path, _: path != test_file.parent / protected)
    result = run("checkpoint", test_file, "-t", "fr", option, test_file.parent / place)

    assert str(result.exception) == (
        f"the report cannot be written: {test_file.parent / protected} is protected from writing, {advice}"
    )


def test_no_empty_report_is_left_when_the_evaluation_fails(tmp_path: Path, test_file: Path) -> None:
    result = run(tmp_path / "absent", test_file, "--output", tmp_path / "report", "--json", tmp_path / "x.json")

    assert isinstance(result.exception, CheckpointError)
    assert list(tmp_path.iterdir()) == [test_file]


@pytest.mark.parametrize("place", ["old.json", "/dev/stdout"])
def test_figures_are_written_to_what_exists_already(
    checkpoint: Path, test_file: Path, tmp_path: Path, place: str
) -> None:
    (tmp_path / "old.json").write_text("old")
    result = run(checkpoint, test_file, "-t", "fr", "--json", tmp_path / place)

    assert (result.exit_code, result.exception) == (0, None)


def test_report_is_a_sentence_when_the_place_goes_away_meanwhile(
    checkpoint: Path, test_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.setattr(module, "_show", lambda _: (tmp_path / "here").rmdir())
    result = run(checkpoint, test_file, "-t", "fr", "--json", tmp_path / "here" / "x.json")

    assert str(result.exception).startswith("the report cannot be written: [Errno 2]")


def test_no_test_file_is_wrong_usage(checkpoint: Path) -> None:
    assert run(checkpoint).exit_code == 2
