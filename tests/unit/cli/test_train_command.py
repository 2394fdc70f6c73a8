"""`dragoman train` on a corpus of a few sentences."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from dragoman.cli import train as module
from dragoman.cli import training_display
from dragoman.cli.train import train
from dragoman.errors import ConfigurationError
from dragoman.model.training import loop, reports
from dragoman.model.training.loop import TrainingInterruptedError
from dragoman.model.translator import Translator

CONFIG = """
name = "tiny-en-fr"
pairs = ["en-fr"]
output = "tiny"

[data]
corpora = [{ path = "corpus.tsv", languages = ["en", "fr"] }]
dev = [{ path = "corpus.tsv", languages = ["en", "fr"] }]

[vocabulary]
size = 300

[network]
width = 16
heads = 2
feed_forward = 32
encoder_layers = 1
decoder_layers = 1

[run]
max_steps = 2
threads = 1
device = "cpu"

[card]
licence = "CC0 1.0"
attribution = "Written for a test."
"""
CORPUS = """\
A boat crosses the lake.\tUn bateau traverse le lac.
The wind turns near the old mill.\tLe vent tourne près du vieux moulin.
My sister reads a long book.\tMa sœur lit un long livre.
Two oars lie on the wet sand.\tDeux rames sont posées sur le sable mouillé.
We will plant three trees.\tNous planterons trois arbres.
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A config beside its corpus, in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(reports, "draw_curve", lambda _points, path: path.touch())
    (tmp_path / "corpus.tsv").write_text(CORPUS, encoding="utf-8")
    (tmp_path / "tiny.toml").write_text(CONFIG, encoding="utf-8")
    return tmp_path / "tiny.toml"


def run(config: Path, *options: str) -> Result:
    return CliRunner().invoke(train, [str(config), *options])


def raising(error: BaseException) -> Callable[..., Path]:
    def go(*_arguments: Any) -> Path:
        raise error

    return go


def test_training_leaves_a_checkpoint_that_translates(config: Path) -> None:
    result = run(config)

    assert (result.exit_code, result.exception) == (0, None)
    assert Translator.load(config.parent / "tiny", "cpu").pairs == (("en", "fr"),)


def test_training_shows_how_it_goes_and_where_the_checkpoint_is(config: Path) -> None:
    first, progress, quality, last = run(config).stdout.splitlines()

    assert first.startswith("training tiny-en-fr: en-fr;")
    assert progress.startswith("100.0%  step       2  epoch")
    assert "target tokens/s  padding " in progress
    assert quality.strip().startswith("dev en-fr corpus.tsv: BLEU")
    assert last == f"saved {config.parent / 'tiny'}"


def test_training_shows_one_line_that_changes_on_a_terminal(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setattr(loop, "REPORT_SECONDS", 0.0)
    result = run(config)

    assert (result.exit_code, result.exception) == (0, None)
    assert "step       2  dev en-fr corpus.tsv: BLEU" in result.stdout
    assert "\x1b[2K" in result.stdout


def test_run_folder_is_beneath_the_working_directory_when_none_is_named(config: Path) -> None:
    run(config)

    assert (config.parent / "runs" / "tiny-en-fr" / "state.safetensors").is_file()


def test_run_folder_is_the_one_named(config: Path) -> None:
    run(config, "--run-folder", "elsewhere")

    assert (config.parent / "elsewhere" / "state.safetensors").is_file()


def test_limits_of_the_config_are_replaced(config: Path) -> None:
    assert "step       4" in run(config, "--steps", "4").stdout


def test_run_goes_on_when_it_is_resumed(config: Path) -> None:
    run(config)
    result = run(config, "--resume", "--steps", "5")

    assert (result.exit_code, result.exception) == (0, None)
    assert "step       5" in result.stdout


def test_fresh_run_is_refused_where_a_state_is(config: Path) -> None:
    run(config)

    assert "go on with it by --resume" in str(run(config).exception)


def test_missing_config_is_refused(tmp_path: Path) -> None:
    result = run(tmp_path / "absent.toml")

    assert isinstance(result.exception, ConfigurationError)
    assert "absent.toml cannot be read" in str(result.exception)


def test_line_of_a_development_set_is_named_when_it_is_too_long(config: Path) -> None:
    too_long = f"{'A boat crosses. ' * 500}\tUn bateau.\n"
    (config.parent / "dev.tsv").write_text(CORPUS + too_long, encoding="utf-8")
    config.write_text(CONFIG.replace('dev = [{ path = "corpus.tsv"', 'dev = [{ path = "dev.tsv"'), encoding="utf-8")

    sentence = str(run(config).exception)
    assert sentence.startswith("the development set en-fr dev.tsv, line 6: the source has ")
    assert sentence.endswith(" pieces, the model takes 250: split it into sentences, or leave it out")


def test_network_that_does_not_fit_into_memory_is_refused(config: Path) -> None:
    config.write_text(CONFIG.replace("[network]", "[network]\nmax_positions = 1000000000000"), encoding="utf-8")

    error = run(config).exception
    assert isinstance(error, ConfigurationError)
    assert "does not fit into memory: lower max_positions = 1000000000000" in str(error)


def test_training_goes_on_when_nothing_can_be_shown(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_display, "_line", raising(OSError(errno.ENOSPC, "No space left on device")))
    result = run(config)

    assert (result.exit_code, result.exception) == (0, None)


def test_missing_corpus_is_refused(config: Path) -> None:
    (config.parent / "corpus.tsv").unlink()

    assert "corpus.tsv cannot be read" in str(run(config).exception)


def test_interrupt_ends_with_130_and_the_command_that_goes_on(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = TrainingInterruptedError("interrupted at step 7; the state is saved in my run", Path("my run"))
    monkeypatch.setattr(module, "run_training", raising(stopped))
    result = run(config, "--run-folder", "my run", "--steps", "9")

    assert result.exit_code == 130
    assert "interrupted at step 7; the state is saved in my run. To go on:" in result.stderr
    assert f"dragoman train {config} --run-folder 'my run' --resume --steps 9" in result.stderr


def test_command_that_goes_on_starts_as_many_processes(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    monkeypatch.setattr(module, "run_training", raising(TrainingInterruptedError("interrupted", Path("runs"))))

    assert f"torchrun --nproc-per-node 4 -m dragoman train {config} --run-folder " in run(config).stderr


def test_interrupt_before_the_first_step_ends_with_130(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "run_training", raising(KeyboardInterrupt()))
    result = run(config)

    assert result.exit_code == 130
    assert "interrupted before anything new was learned" in result.stderr


def test_other_processes_than_the_first_are_silent(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(module, "run_training", lambda *_: Path("tiny"))

    assert run(config).stdout == ""
