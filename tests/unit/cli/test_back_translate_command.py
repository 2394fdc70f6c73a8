"""`dragoman back-translate` with a tiny checkpoint of random weights."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from dragoman.cli.back_translate import back_translate_command
from dragoman.errors import ConfigurationError
from dragoman.model.architectures.transformer import Transformer, TransformerConfig
from dragoman.model.checkpoint import Checkpoint, save_checkpoint
from dragoman.model.translator import Translator
from dragoman.model.vocabularies.subwords import SubwordVocabulary

LINES = ["Pain chaud.", "Oui.", "Le vent."]
VOCABULARY_SIZE = 275


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(5)
    tokenizer = SubwordVocabulary.train(LINES, VOCABULARY_SIZE)
    shape = TransformerConfig(
        len(tokenizer), width=16, heads=2, feed_forward=32, encoder_layers=1, decoder_layers=1, max_positions=64
    )
    folder = tmp_path_factory.mktemp("checkpoints") / "tiny"
    save_checkpoint(Checkpoint("tiny-fr-en", (("fr", "en"),), Transformer(shape), tokenizer, "# tiny\n"), folder)
    return folder


@pytest.fixture
def text(tmp_path: Path) -> Path:
    (tmp_path / "text.fr").write_text("\n".join(LINES), encoding="utf-8")
    return tmp_path / "text.fr"


def run(checkpoint: Path, text: Path, *more: str) -> Result:
    arguments = [str(checkpoint), str(text), str(text.with_name("out.tsv.gz")), "-s", "fr", "-t", "en"]
    return CliRunner().invoke(back_translate_command, [*arguments, "--device", "cpu", "--beam-size", "1", *more])


def rows(text: Path) -> list[list[str]]:
    content = gzip.decompress(text.with_name("out.tsv.gz").read_bytes()).decode()
    return [line.split("\t") for line in content.split("\n")[:-1]]


def test_real_text_is_the_target_of_the_new_corpus(checkpoint: Path, text: Path) -> None:
    result = run(checkpoint, text)

    assert (result.exit_code, result.exception) == (0, None)
    assert [row[1] for row in rows(text)] == LINES
    assert "3 segments kept; left out: none" in result.stdout
    assert f"wrote {text.with_name('out.tsv.gz')}" in result.stdout


def test_columns_stand_in_the_order_asked_for(checkpoint: Path, text: Path) -> None:
    run(checkpoint, text, "--columns", "fr-en")

    assert [row[0] for row in rows(text)] == LINES


def test_columns_of_other_languages_are_refused(checkpoint: Path, text: Path) -> None:
    result = run(checkpoint, text, "--columns", "en-de")

    assert isinstance(result.exception, ConfigurationError)
    assert str(result.exception) == "the columns can be en-fr or fr-en, not en-de"


def test_line_too_long_for_the_model_is_left_out_and_counted(checkpoint: Path, text: Path) -> None:
    text.write_text("Oui.\n" + "vent " * 100 + "\n", encoding="utf-8")
    result = run(checkpoint, text)

    assert "1 segments kept; left out: 1 too long" in result.stdout
    assert [row[1] for row in rows(text)] == ["Oui."]


def sampled(checkpoint: Path, text: Path, seed: str) -> list[list[str]]:
    run(checkpoint, text, "--sampling", "--seed", seed)
    found = rows(text)
    text.with_name("out.tsv.gz").unlink()
    return found


def test_sampling_draws_the_same_for_the_same_seed(checkpoint: Path, text: Path) -> None:
    assert sampled(checkpoint, text, "3") == sampled(checkpoint, text, "3")


def test_sampling_draws_something_else_for_another_seed(checkpoint: Path, text: Path) -> None:
    assert sampled(checkpoint, text, "3") != sampled(checkpoint, text, "4")


def test_tag_stands_before_the_synthetic_text(checkpoint: Path, text: Path) -> None:
    run(checkpoint, text, "--tag", "<BT>")

    assert {row[0][:5] for row in rows(text)} == {"<BT> "}


def test_file_that_exists_is_not_written_over(checkpoint: Path, text: Path) -> None:
    text.with_name("out.tsv.gz").write_text("precious")

    assert "exists already" in str(run(checkpoint, text).exception)
    assert text.with_name("out.tsv.gz").read_text() == "precious"


def test_name_must_say_that_the_corpus_is_compressed(checkpoint: Path, text: Path) -> None:
    arguments = [str(checkpoint), str(text), str(text.with_name("out.txt")), "-s", "fr", "-t", "en"]

    assert "must end in .tsv.gz" in str(CliRunner().invoke(back_translate_command, arguments).exception)


def test_interrupt_ends_with_130_and_the_same_command_goes_on(
    checkpoint: Path, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Translator, "translate", interrupt)
        result = run(checkpoint, text)
    chunks = text.with_name("out.tsv.gz.chunks")

    assert (result.exit_code, chunks.is_dir()) == (130, True)
    assert f"what is finished is kept in {chunks}: run the same command to go on" in result.stderr
    assert (run(checkpoint, text).exit_code, len(rows(text)), chunks.exists()) == (0, 3, False)
