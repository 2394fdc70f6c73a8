"""`dragoman train` on a corpus of a few sentences."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from dragoman.cli import train as module
from dragoman.cli.train import train
from dragoman.errors import ConfigurationError
from dragoman.model.translator import Translator

CONFIG = """
name = "tiny-en-fr"
source = "en"
target = "fr"
output = "tiny"

[data]
train = ["corpus.tsv"]
dev = "corpus.tsv"

[shape]
vocabulary_size = 300
width = 16
heads = 2
feed_forward = 32
encoder_layers = 1
decoder_layers = 1

[run]
max_steps = 2
threads = 1

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
def config(tmp_path: Path) -> Path:
    (tmp_path / "corpus.tsv").write_text(CORPUS, encoding="utf-8")
    (tmp_path / "tiny.toml").write_text(CONFIG, encoding="utf-8")
    return tmp_path / "tiny.toml"


def run(config: Path) -> Result:
    return CliRunner().invoke(train, [str(config)])


def test_training_leaves_a_checkpoint_that_translates(config: Path) -> None:
    result = run(config)

    assert (result.exit_code, result.exception) == (0, None)
    assert Translator.load(config.parent / "tiny", "cpu").pairs == (("en", "fr"),)


def test_training_shows_how_it_goes_and_where_the_checkpoint_is(config: Path) -> None:
    first, progress, quality, last = run(config).stdout.splitlines()

    assert first.startswith("training tiny-en-fr: en to fr;")
    assert progress.startswith("100.0%  step      2")
    assert quality.strip().startswith("dev: BLEU")
    assert last == f"saved {config.parent / 'tiny'}"


def test_missing_config_is_refused(tmp_path: Path) -> None:
    result = run(tmp_path / "absent.toml")

    assert isinstance(result.exception, ConfigurationError)
    assert "absent.toml cannot be read" in str(result.exception)


def test_missing_corpus_is_refused(config: Path) -> None:
    (config.parent / "corpus.tsv").unlink()

    assert "corpus.tsv cannot be read" in str(run(config).exception)


def test_interrupt_ends_with_130_and_says_where_the_checkpoint_is(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_arguments: object) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "run_training", interrupt)
    result = run(config)

    assert result.exit_code == 130
    assert (
        f"interrupted; what the last evaluation saved, if there was one, is in {config.parent / 'tiny'}"
        in result.stderr
    )
