"""`dragoman distill`: a tiny teacher of random weights, a tiny student, two steps."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from dragoman.cli.distill import distill
from dragoman.errors import ConfigurationError
from dragoman.model.architectures.transformer import Transformer, TransformerConfig
from dragoman.model.checkpoint import Checkpoint, save_checkpoint
from dragoman.model.translator import Translator
from dragoman.model.vocabularies.subwords import SubwordVocabulary

CONFIG = """
name = "student"
pairs = ["en-fr"]
output = "student"

[data]
corpora = [{path = "corpus.tsv", languages = ["en", "fr"]}]
dev = [{path = "dev.tsv", languages = ["en", "fr"]}]
max_length_ratio = 1000

[vocabulary]
kind = "characters"
size = 40

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
CORPUS = "A boat.\tUn bateau.\nThe wind turns.\tLe vent tourne.\nYes.\tOui.\n"
SOURCES = ["A boat.", "The wind turns.", "Yes."]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(5)
    tokenizer = SubwordVocabulary.train(CORPUS.splitlines(), 286)
    shape = TransformerConfig(
        len(tokenizer), width=16, heads=2, feed_forward=32, encoder_layers=1, decoder_layers=1, max_positions=64
    )
    folder = tmp_path_factory.mktemp("checkpoints") / "teacher"
    save_checkpoint(Checkpoint("teacher", (("en", "fr"),), Transformer(shape), tokenizer, "# tiny\n"), folder)
    return folder


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "corpus.tsv").write_text(CORPUS, encoding="utf-8")
    (tmp_path / "dev.tsv").write_text("Yes.\tOui.\n", encoding="utf-8")
    (tmp_path / "student.toml").write_text(CONFIG, encoding="utf-8")
    return tmp_path / "student.toml"


def run(teacher: Path, config: Path, *more: str) -> Result:
    arguments = [str(teacher), str(config), "--run-folder", str(config.parent / "run")]
    return CliRunner().invoke(distill, [*arguments, "--beam-size", "1", "--device", "cpu", *more])


def distilled(config: Path) -> Path:
    return config.parent / "run" / "distilled" / "01.en-fr.tsv.gz"


def test_student_of_the_teacher_translates_and_its_card_says_whose_it_is(teacher: Path, config: Path) -> None:
    result = run(teacher, config)
    assert (result.exit_code, result.exception) == (0, None)

    student = Translator.load(config.parent / "student", "cpu")
    assert student.pairs == (("en", "fr"),)
    assert Translator.load(teacher, "cpu").version in student.checkpoint.card
    assert f"saved {config.parent / 'student'}" in result.stdout


def test_corpus_holds_source_translation_and_score(teacher: Path, config: Path) -> None:
    result = run(teacher, config, "--translate-only")
    rows = [line.split("\t") for line in gzip.decompress(distilled(config).read_bytes()).decode().splitlines()]

    assert [(row[0], len(row), float(row[2]) < 0) for row in rows] == [(source, 3, True) for source in SOURCES]
    assert "3 segments kept; left out: none" in result.stdout


def test_translations_that_the_teacher_is_unsure_of_are_left_out(teacher: Path, config: Path) -> None:
    result = run(teacher, config, "--translate-only", "--min-score", "-0.001")

    assert "0 segments kept; left out: 3 unsure" in result.stdout


def test_no_student_is_trained_when_only_translations_are_wanted(teacher: Path, config: Path) -> None:
    result = run(teacher, config, "--translate-only")

    assert (result.exit_code, (config.parent / "student").exists()) == (0, False)


def test_student_learns_from_the_originals_too_when_they_are_kept(teacher: Path, config: Path) -> None:
    assert "2 corpora to learn from" in run(teacher, config, "--keep-original").stdout


def test_interrupt_ends_with_130_and_the_same_command_goes_on(
    teacher: Path, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Translator, "translate", interrupt)
        result = run(teacher, config, "--translate-only")

    assert (result.exit_code, distilled(config).exists()) == (130, False)
    assert f"is kept in {config.parent / 'run'}: run the same command to go on" in result.stderr
    assert run(teacher, config, "--translate-only").exit_code == 0
    assert distilled(config).exists()


def test_same_command_goes_on_with_the_students_run_too(teacher: Path, config: Path) -> None:
    run(teacher, config)
    config.write_text(CONFIG.replace("max_steps = 2", "max_steps = 3"), encoding="utf-8")
    steps = [line.split()[2] for line in run(teacher, config).stdout.splitlines() if "step" in line]

    assert steps[-1] == "3"
    assert "2" not in steps


def test_pair_that_the_teacher_lacks_is_refused_before_anything_is_done(teacher: Path, config: Path) -> None:
    config.write_text(CONFIG.replace('"en-fr"', '"fr-en"'), encoding="utf-8")
    result = run(teacher, config)

    assert isinstance(result.exception, ConfigurationError)
    assert "does not translate fr-en, only en-fr" in str(result.exception)


def test_missing_config_is_refused(teacher: Path, tmp_path: Path) -> None:
    assert "absent.toml cannot be read" in str(run(teacher, tmp_path / "absent.toml").exception)


def test_missing_corpus_is_refused(teacher: Path, config: Path) -> None:
    (config.parent / "corpus.tsv").unlink()

    assert "corpus.tsv cannot be read" in str(run(teacher, config).exception)
